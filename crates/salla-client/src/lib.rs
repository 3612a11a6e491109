//! salla-client
