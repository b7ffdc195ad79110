// swift-tools-version: 6.2
import PackageDescription

/// Every target of our own treats a warning as an error; dependencies are left alone.
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
  name: "attnlab",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "AttentionLab", targets: ["AttentionLab"]),
    .library(name: "Attention", targets: ["Attention", "AttentionCore", "Tensors"]),
    .library(name: "Transformer", targets: ["Transformer", "Tasks"]),
    .library(name: "ScalingLaws", targets: ["ScalingLaws"]),
    .executable(name: "attnlab", targets: ["attnlab"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/apple/swift-numerics", from: "1.1.1"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
  ],
  targets: [
    // MARK: - C and system
    .systemLibrary(
      name: "CGSL", pkgConfig: "gsl", providers: [.apt(["libgsl-dev"]), .brew(["gsl"])]),
    .target(name: "CKernels"),

    // MARK: - Libraries
    .target(
      name: "Tensors",
      dependencies: ["CKernels", .product(name: "RealModule", package: "swift-numerics")],
      swiftSettings: strict),
    .target(name: "Parameters", swiftSettings: strict),
    .target(name: "AttentionCore", dependencies: ["Tensors", "Parameters"], swiftSettings: strict),
    .target(
      name: "Attention", dependencies: ["AttentionCore", "Tensors", "CKernels"],
      swiftSettings: strict),
    .target(
      name: "Tasks",
      dependencies: ["Tensors", "Parameters", .product(name: "RealModule", package: "swift-numerics")],
      swiftSettings: strict),
    .target(
      name: "Transformer",
      dependencies: [
        "Attention", "AttentionCore", "Parameters", "Tensors", "Tasks",
        .product(name: "RealModule", package: "swift-numerics"),
      ],
      swiftSettings: strict),
    .target(
      name: "ScalingLaws",
      dependencies: ["CGSL", .product(name: "RealModule", package: "swift-numerics")],
      swiftSettings: strict),
    .target(
      name: "Laboratory",
      dependencies: [
        "Attention", "AttentionCore", "Tensors", "ScalingLaws", "Tasks", "Transformer",
        .product(name: "Yams", package: "Yams"),
        .product(name: "SystemPackage", package: "swift-system"),
        .product(name: "Subprocess", package: "swift-subprocess"),
      ],
      swiftSettings: strict),
    .target(
      name: "AttentionLab",
      dependencies: [
        "Laboratory", "Attention", "AttentionCore", "Tensors", "ScalingLaws", "Transformer", "Tasks",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),

    // MARK: - Tool
    .executableTarget(
      name: "attnlab", dependencies: ["AttentionLab", "Attention", "AttentionCore"], swiftSettings: strict),

    // MARK: - Tests
    .target(
      name: "LabTestSupport", dependencies: ["Attention", "AttentionCore", "Tensors"],
      path: "Tests/LabTestSupport", swiftSettings: strict),
    .testTarget(
      name: "TensorsTests", dependencies: ["Tensors", "LabTestSupport"], swiftSettings: strict),
    .testTarget(
      name: "AttentionCoreTests", dependencies: ["AttentionCore", "LabTestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "AttentionTests", dependencies: ["Attention", "AttentionCore", "Tensors", "LabTestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "TransformerTests", dependencies: ["Transformer", "Tasks", "LabTestSupport"],
      exclude: ["Fixtures"],
      swiftSettings: strict),
    .testTarget(name: "TasksTests", dependencies: ["Tasks", "Tensors"], swiftSettings: strict),
    .testTarget(
      name: "ScalingLawsTests", dependencies: ["ScalingLaws", "CGSL", "LabTestSupport"], swiftSettings: strict
    ),
    .testTarget(
      name: "LaboratoryTests", dependencies: ["Laboratory", "LabTestSupport"],
      swiftSettings: strict),
    // The program with variants that crash, dawdle, eat memory or lie: what a run must survive.
    .executableTarget(
      name: "attnlab-fakes", dependencies: ["AttentionLab", "AttentionCore", "Tensors"],
      path: "Tests/FakeLab", swiftSettings: strict),
    .testTarget(
      name: "CommandLineTests",
      dependencies: ["AttentionLab", "Laboratory", "attnlab", "attnlab-fakes", "LabTestSupport"],
      swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
