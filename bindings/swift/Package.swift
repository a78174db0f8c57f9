// swift-tools-version:6.0
import PackageDescription

// On Apple systems the C module comes out of an XCFramework (build-xcframework.sh). Elsewhere it is a
// C target with the generated header, linked with the static library in lib/ (build.sh). A flag for the
// linker's search path is "unsafe" to SwiftPM: packages that lie in a folder may use it.
#if os(Linux)
    let library: Target = .target(
        name: "CDonpFFI",
        linkerSettings: [
            .unsafeFlags(["-L\(Context.packageDirectory)/lib"]),
            .linkedLibrary("donp_ffi"), .linkedLibrary("m"), .linkedLibrary("dl"), .linkedLibrary("pthread"),
        ]
    )
#else
    let library: Target = .binaryTarget(name: "CDonpFFI", path: "CDonpFFI.xcframework")
#endif

// The tests set it: what is written by hand compiles without a warning.
let strict: [SwiftSetting] =
    Context.environment["DONP_STRICT"] == nil ? [] : [.unsafeFlags(["-warnings-as-errors"])]

let package = Package(
    name: "Donp",
    platforms: [.macOS(.v13), .iOS(.v16)],
    products: [.library(name: "Donp", targets: ["Donp"])],
    targets: [
        library,
        // Generated. In Swift 5 mode, whatever the rest uses.
        .target(name: "DonpFFI", dependencies: ["CDonpFFI"], swiftSettings: [.swiftLanguageMode(.v5)]),
        .target(name: "Donp", dependencies: ["DonpFFI"], swiftSettings: strict),
        .executableTarget(name: "Echo", dependencies: ["Donp"], path: "Examples/Echo", swiftSettings: strict),
        .executableTarget(name: "Talk", dependencies: ["Donp"], path: "Examples/Talk", swiftSettings: strict),
        .executableTarget(name: "DonpBench", dependencies: ["Donp"], path: "Bench", swiftSettings: strict),
        // A process that ends without closing its nodes, for the tests.
        .executableTarget(
            name: "Leaver", dependencies: ["Donp"], path: "Tests/Leaver", swiftSettings: strict),
        .testTarget(
            name: "DonpTests", dependencies: ["Donp", "Echo", "Talk", "Leaver"], swiftSettings: strict),
    ]
)
