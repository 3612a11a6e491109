//! The migrations are compiled in, and cargo does not watch their folder automatically.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
