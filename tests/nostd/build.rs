fn main() {
    // No C start-up files and no C library: anything of std that came in fails to link.
    for arg in ["-nostartfiles", "-nostdlib", "-static", "-no-pie"] {
        println!("cargo:rustc-link-arg-bins={arg}");
    }
}
