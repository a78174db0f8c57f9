//! The generator of the Python, Kotlin and Swift code: the version that the library was built with.

fn main() {
    uniffi::uniffi_bindgen_main();
}
