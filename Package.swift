// swift-tools-version: 6.2
import PackageDescription

/// Every target of our own treats a warning as an error; dependencies are left alone.
let strict: [SwiftSetting] = [.treatAllWarnings(as: .error)]

let package = Package(
  name: "attnlab",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "AttentionLab", targets: ["AttentionLab"]),
    .library(
      name: "Attention",
      targets: ["Attention", "AttentionCore", "ArrayFiles", "Tensors", "Processor", "Settings", "Basics"]),
    .library(
      name: "Models",
      targets: ["Pretrained", "Training", "Models", "Layers", "ImageTasks", "Tasks", "Vision", "Images"]),
    .library(name: "ScalingLaws", targets: ["ScalingLaws", "Formulas", "LeastSquares"]),
    .executable(name: "attnlab", targets: ["attnlab"]),
  ],
  traits: [
    .trait(name: "MPI", description: "One sequence over several processes; needs Open MPI (libopenmpi-dev)")
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
    .systemLibrary(
      name: "CMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"]), .brew(["open-mpi"])]),
    .target(name: "CKernels"),

    // MARK: - Libraries
    .target(
      name: "Basics", dependencies: ["CKernels", .product(name: "RealModule", package: "swift-numerics")],
      swiftSettings: strict),
    .target(name: "Settings", dependencies: ["Basics"], swiftSettings: strict),
    .target(name: "Processor", dependencies: ["Basics", "CKernels"], swiftSettings: strict),
    .target(
      name: "Tensors",
      dependencies: [
        "Basics", "CKernels", "Processor", .product(name: "RealModule", package: "swift-numerics"),
      ],
      swiftSettings: strict),
    .target(name: "ArrayFiles", dependencies: ["Basics", "Tensors"], swiftSettings: strict),
    .target(
      name: "AttentionCore",
      dependencies: [
        "Basics", "Settings", "Tensors", .product(name: "RealModule", package: "swift-numerics"),
      ],
      swiftSettings: strict),
    .target(
      name: "Attention", dependencies: ["AttentionCore", "Basics", "CKernels", "Settings", "Tensors"],
      swiftSettings: strict),
    .target(
      name: "Ranks",
      dependencies: [
        "Attention", "AttentionCore", "Basics", "Settings", "Tensors",
        .target(name: "CMPI", condition: .when(traits: ["MPI"])),
      ],
      swiftSettings: strict),
    .target(
      name: "Tasks",
      dependencies: [
        "ArrayFiles", "Basics", "Settings", "Tensors",
        .product(name: "RealModule", package: "swift-numerics"),
      ],
      swiftSettings: strict),
    .target(
      name: "ImageTasks",
      dependencies: [
        "ArrayFiles", "Basics", "Settings", "Tasks", "Tensors",
        .product(name: "RealModule", package: "swift-numerics"),
      ],
      swiftSettings: strict),
    .target(
      name: "LongText", dependencies: ["Basics", "Settings", "Tasks", "Tensors"], swiftSettings: strict),
    .target(
      name: "Experts",
      dependencies: ["Settings", "Tensors", .product(name: "RealModule", package: "swift-numerics")],
      swiftSettings: strict),
    .target(
      name: "Layers",
      dependencies: [
        "AttentionCore", "Basics", "Experts", "Settings", "Tensors",
        .product(name: "RealModule", package: "swift-numerics"),
      ],
      swiftSettings: strict),
    .target(name: "Images", dependencies: ["Basics", "CKernels", "Tensors"], swiftSettings: strict),
    .target(
      name: "Vision",
      dependencies: [
        "AttentionCore", "Basics", "Images", "Layers", "Settings", "Tensors",
        .product(name: "RealModule", package: "swift-numerics"),
      ],
      swiftSettings: strict),
    .target(
      name: "Hierarchies", dependencies: ["CKernels", "Layers", "Settings", "Tensors"], swiftSettings: strict),
    .target(
      name: "Models",
      dependencies: [
        "ArrayFiles", "AttentionCore", "Basics", "Hierarchies", "Layers", "Settings", "Tasks", "Tensors",
        "Vision",
        .product(name: "RealModule", package: "swift-numerics"),
      ],
      swiftSettings: strict),
    .target(
      name: "Training",
      dependencies: [
        "ArrayFiles", "AttentionCore", "Basics", "Layers", "Models", "Ranks", "Settings", "Tasks", "Tensors",
        .product(name: "RealModule", package: "swift-numerics"),
      ],
      swiftSettings: strict),
    .target(
      name: "Pretrained",
      dependencies: [
        "ArrayFiles", "AttentionCore", "Basics", "Experts", "Layers", "Models", "Settings", "Tensors",
        "Vision",
        .product(name: "RealModule", package: "swift-numerics"),
      ],
      swiftSettings: strict),
    .target(
      name: "LeastSquares",
      dependencies: ["Basics", "CGSL", .product(name: "RealModule", package: "swift-numerics")],
      swiftSettings: strict),
    .target(
      name: "Formulas",
      dependencies: ["Basics", "LeastSquares", .product(name: "RealModule", package: "swift-numerics")],
      swiftSettings: strict),
    .target(
      name: "ScalingLaws",
      dependencies: ["Basics", "LeastSquares", .product(name: "RealModule", package: "swift-numerics")],
      swiftSettings: strict),
    .target(
      name: "Processes",
      dependencies: [
        "Basics", .product(name: "SystemPackage", package: "swift-system"),
        .product(name: "Subprocess", package: "swift-subprocess"),
      ],
      swiftSettings: strict),
    .target(
      name: "Figures",
      dependencies: ["Basics", "Processes", .product(name: "Subprocess", package: "swift-subprocess")],
      resources: [.embedInCode("report.css"), .embedInCode("report.js")], swiftSettings: strict),
    .target(
      name: "Records", dependencies: ["AttentionCore", "Basics", "Settings", "Tensors"],
      swiftSettings: strict),
    .target(
      name: "Presets",
      dependencies: [
        "AttentionCore", "Basics", "CKernels", "Figures", "LeastSquares", "Processes", "Processor", "Records",
        "Settings", "Tasks", "Tensors", .product(name: "Yams", package: "Yams"),
      ],
      resources: [.embedInCode("Embedded")], swiftSettings: strict),
    .target(
      name: "Analysis",
      dependencies: [
        "AttentionCore", "Basics", "Figures", "Processes", "Records", "Formulas", "LeastSquares",
        "ScalingLaws",
        "Settings",
      ],
      swiftSettings: strict),
    .target(
      name: "Measuring",
      dependencies: [
        "Analysis", "ArrayFiles", "AttentionCore", "Basics", "Figures", "Layers", "Models", "Presets",
        "Pretrained", "Processes", "Processor", "Ranks", "Records", "Settings", "Tasks", "Tensors",
        .product(name: "SystemPackage", package: "swift-system"),
        .product(name: "Subprocess", package: "swift-subprocess"),
      ],
      swiftSettings: strict),
    .target(
      name: "Trainings",
      dependencies: [
        "Analysis", "ArrayFiles", "AttentionCore", "Basics", "Figures", "ImageTasks", "LongText", "Presets",
        "Processes",
        "Pretrained", "Ranks", "Records", "Models", "LeastSquares", "ScalingLaws", "Settings", "Tasks",
        "Tensors", "Training",
      ],
      swiftSettings: strict),
    .target(
      name: "Sweeps",
      dependencies: [
        "Basics", "Presets", "Processes", "Records",
        .product(name: "Subprocess", package: "swift-subprocess"),
      ],
      swiftSettings: strict),
    .target(
      name: "Pages",
      dependencies: [
        "Analysis", "ArrayFiles", "Attention", "AttentionCore", "Basics", "Experts", "Figures", "ImageTasks",
        "LongText",
        "Measuring",
        "Models", "Presets", "Pretrained", "Records", "LeastSquares", "ScalingLaws", "Settings", "Tasks",
        "Tensors", "Training", "Trainings", "Vision",
      ],
      swiftSettings: strict),
    .target(
      name: "Commands",
      dependencies: [
        "Analysis", "AttentionCore", "Basics", "ImageTasks", "LeastSquares", "Measuring", "Models", "Pages",
        "Presets", "Pretrained", "Processes", "Records", "ScalingLaws", "Settings", "Tasks", "Tensors",
        "Trainings",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),
    .target(
      name: "ModelCommands",
      dependencies: [
        "ArrayFiles", "AttentionCore", "Basics", "Commands", "ImageTasks", "LongText", "Models", "Pages",
        "Presets",
        "Pretrained", "Processes", "Ranks", "Records", "Settings", "Tasks", "Tensors", "Training",
        "Trainings",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),
    .target(
      name: "AttentionLab",
      dependencies: [
        "Analysis", "ArrayFiles", "Attention", "AttentionCore", "Basics", "Commands", "Figures", "ImageTasks",
        "Measuring", "ModelCommands", "Models", "Pages", "Presets", "Processes",
        "Processor", "Ranks", "Records",
        "Formulas",
        "LeastSquares", "ScalingLaws", "Settings", "Sweeps", "Tasks", "Tensors", "Trainings",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),

    // MARK: - Tool
    .executableTarget(
      name: "attnlab", dependencies: ["AttentionLab", "Attention", "AttentionCore"], swiftSettings: strict),

    // MARK: - Tests
    .target(
      name: "LabTestSupport",
      dependencies: ["AttentionCore", "Basics", "LeastSquares", "Settings", "Tensors"],
      path: "Tests/LabTestSupport", swiftSettings: strict),
    // Broken inputs out of whole ones, for tests and for the program that reads a million of each.
    .target(name: "Mutation", dependencies: ["Basics"], path: "Tests/Mutation", swiftSettings: strict),
    .target(
      name: "Fuzzing",
      dependencies: [
        "ArrayFiles", "Attention", "AttentionCore", "Basics", "Figures", "Formulas", "Measuring", "Models",
        "Mutation", "Presets", "Pretrained", "Records", "Settings", "Tensors", "Trainings",
      ],
      path: "Tests/Fuzzing", swiftSettings: strict),
    .executableTarget(
      name: "attnlab-fuzz", dependencies: ["Basics", "Fuzzing"], path: "Tests/FuzzLab", swiftSettings: strict),
    .testTarget(name: "FuzzingTests", dependencies: ["Fuzzing"], swiftSettings: strict),
    .testTarget(
      name: "BasicsTests", dependencies: ["Basics", "LabTestSupport", "Mutation"], swiftSettings: strict),
    .testTarget(
      name: "SettingsTests", dependencies: ["LabTestSupport", "Mutation", "Settings"], swiftSettings: strict),
    .testTarget(
      name: "TensorsTests", dependencies: ["Basics", "Processor", "Tensors"], swiftSettings: strict),
    .testTarget(
      name: "ArrayFilesTests",
      dependencies: ["ArrayFiles", "Basics", "LabTestSupport", "Mutation", "Tensors"],
      swiftSettings: strict),
    .testTarget(
      name: "AttentionCoreTests", dependencies: ["AttentionCore", "Basics", "Settings", "Tensors"],
      swiftSettings: strict),
    .testTarget(
      name: "AttentionTests",
      dependencies: [
        "Attention", "AttentionCore", "Basics", "CKernels", "LabTestSupport", "Settings", "Tensors",
      ],
      exclude: ["Fixtures"],
      swiftSettings: strict),
    // Attention over ranks with its inputs and its judge, for tests on threads and for a program that mpirun starts.
    .target(
      name: "RankCases",
      dependencies: ["Attention", "AttentionCore", "Basics", "Ranks", "Settings", "Tensors"],
      path: "Tests/RankCases", swiftSettings: strict),
    .executableTarget(
      name: "attnlab-ranks",
      dependencies: ["Attention", "AttentionCore", "Basics", "RankCases", "Ranks", "Settings", "Tensors"],
      path: "Tests/RankLab", exclude: ["mpi.sh", "namespaces.sh"], swiftSettings: strict),
    .testTarget(
      name: "RanksTests",
      dependencies: [
        "Attention", "AttentionCore", "Basics", "LabTestSupport", "RankCases", "Ranks", "Settings", "Tensors",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "LayersTests",
      dependencies: [
        "Attention", "AttentionCore", "Basics", "Experts", "Hierarchies", "LabTestSupport", "Layers",
        "Models", "Settings", "Tensors",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "VisionTests",
      dependencies: [
        "Attention", "AttentionCore", "Basics", "Images", "LabTestSupport", "Layers", "Settings", "Tensors",
        "Vision",
        .product(name: "RealModule", package: "swift-numerics"),
      ],
      swiftSettings: strict),
    .testTarget(
      name: "ModelsTests",
      dependencies: [
        "ArrayFiles", "Attention", "AttentionCore", "Basics", "LabTestSupport", "Layers", "Models",
        "Mutation", "Ranks", "Settings", "Tasks", "Tensors", "Training", "Vision",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "PretrainedTests",
      dependencies: [
        "ArrayFiles", "Attention", "AttentionCore", "Basics", "LabTestSupport", "Layers", "Models",
        "Mutation",
        "Pretrained", "Settings", "Tensors",
      ],
      exclude: ["Fixtures"],
      swiftSettings: strict),
    .testTarget(
      name: "TasksTests", dependencies: ["Basics", "LabTestSupport", "Settings", "Tasks", "Tensors"],
      swiftSettings: strict),
    .testTarget(
      name: "ImageTasksTests",
      dependencies: [
        "ArrayFiles", "Basics", "ImageTasks", "LabTestSupport", "Settings", "Tasks", "Tensors",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "LongTextTests",
      dependencies: [
        "Attention", "AttentionCore", "Basics", "ImageTasks", "LabTestSupport", "LongText", "Models",
        "Settings", "Tasks",
        "Tensors", "Training",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "LeastSquaresTests",
      dependencies: ["Basics", "CGSL", "Formulas", "LabTestSupport", "LeastSquares", "ScalingLaws"],
      swiftSettings: strict),
    .testTarget(
      name: "FormulasTests", dependencies: ["Basics", "Formulas", "LabTestSupport", "LeastSquares"],
      swiftSettings: strict),
    .testTarget(
      name: "ScalingLawsTests",
      dependencies: ["Basics", "Formulas", "LabTestSupport", "LeastSquares", "ScalingLaws"],
      swiftSettings: strict),
    .testTarget(name: "ProcessesTests", dependencies: ["Processes"], swiftSettings: strict),
    .testTarget(
      name: "RecordsTests", dependencies: ["Basics", "LabTestSupport", "Records"], swiftSettings: strict),
    .testTarget(
      name: "FiguresTests",
      dependencies: ["Basics", "Figures", "LabTestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "PresetsTests",
      dependencies: [
        "Attention", "AttentionCore", "Basics", "LabTestSupport", "Measuring", "Mutation", "Presets",
        "Processes", "Processor", "Records", "Settings", "Tensors", "Trainings",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "AnalysisTests",
      dependencies: [
        "Analysis", "Basics", "Figures", "LabTestSupport", "Presets", "Processes", "Records", "Formulas",
        "LeastSquares", "ScalingLaws",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "MeasuringTests",
      dependencies: [
        "ArrayFiles", "Attention", "AttentionCore", "Basics", "LabTestSupport", "Measuring", "Models",
        "Presets", "Pretrained", "Processes", "Ranks", "Records", "Settings", "Tensors",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "TrainingsTests",
      dependencies: [
        "Attention", "AttentionCore", "Basics", "LabTestSupport", "Models", "Presets", "Processes", "Records",
        "Settings", "Tensors", "Training", "Trainings",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "SweepsTests",
      dependencies: [
        "Analysis", "Attention", "Basics", "LabTestSupport", "Measuring", "Presets", "Processes", "Records",
        "LeastSquares", "ScalingLaws", "Sweeps", "Trainings",
      ],
      exclude: ["cluster.sh", "slurm.sh"], swiftSettings: strict),
    .testTarget(
      name: "ResultsTests",
      dependencies: [
        "Analysis", "Attention", "AttentionCore", "Basics", "Figures", "ImageTasks", "LeastSquares",
        "Measuring", "Pages", "Presets", "Records", "ScalingLaws", "Settings", "Tasks", "Tensors",
        "Trainings",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "PagesTests",
      dependencies: [
        "Attention", "AttentionCore", "Basics", "ImageTasks", "Measuring", "Models", "Pages", "Presets",
        "Records", "Settings", "Tasks", "Training", "Trainings",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "AttentionLabTests",
      dependencies: [
        "Attention", "AttentionCore", "AttentionLab", "Basics", "Commands", "Figures", "LabTestSupport",
        "Pages", "Presets", "Records",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),
    // The program with variants that crash, dawdle, eat memory or lie: what a run must survive.
    .executableTarget(
      name: "attnlab-fakes",
      dependencies: ["AttentionLab", "AttentionCore", "Basics", "Settings", "Tensors"],
      path: "Tests/FakeLab", swiftSettings: strict),
    // The program of Experiments/CustomVariant under another name: the tests run its every subcommand.
    .executableTarget(
      name: "attnlab-custom", dependencies: ["Attention", "AttentionCore", "AttentionLab", "Tensors"],
      path: "Experiments/CustomVariant/Sources/mylab", swiftSettings: strict),
    .testTarget(
      name: "CommandLineTests",
      dependencies: [
        "ArrayFiles", "Attention", "AttentionCore", "AttentionLab", "Basics", "LabTestSupport", "Processor",
        "Records", "Tensors", "attnlab", "attnlab-fakes", "attnlab-custom",
      ],
      exclude: ["Snapshots"],
      swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
