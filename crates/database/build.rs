//! The migrations are compiled in, and cargo does not watch their folder by itself.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
