//! Has cargo build symctl again when a template gains a file: `include_dir!` is
//! told of changed files alone.

fn main() {
    println!("cargo:rerun-if-changed=../guest-sdk");
    println!("cargo:rerun-if-changed=../wit");
}
