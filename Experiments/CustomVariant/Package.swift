// swift-tools-version: 6.2
import PackageDescription

// A package of one's own: it adds a variant and gets every subcommand of attnlab.
//   swift run mylab check strided
//   swift run mylab mask strided --n 48 --causal
let package = Package(
  name: "CustomVariant",
  platforms: [.macOS(.v15)],
  dependencies: [.package(name: "attnlab", path: "../..")],
  targets: [
    .executableTarget(
      name: "mylab",
      dependencies: [
        .product(name: "AttentionLab", package: "attnlab"), .product(name: "Attention", package: "attnlab"),
      ])
  ],
  swiftLanguageModes: [.v6]
)
