import ArgumentParser

/// The subcommands, in the order in which `attnlab --help` shows them: one line each.
enum Subcommands {
  static let all: [any FileCommand.Type] = [
    ListCommand.self,
    RunCommand.self,
    StatusCommand.self,
    MergeCommand.self,
    SlurmCommand.self,
    BenchCommand.self,
    MeasureCommand.self,
    CompareCommand.self,
    PlotCommand.self,
    ReportCommand.self,
    MaskCommand.self,
    ApplyCommand.self,
    CheckCommand.self,
    TrainCommand.self,
    ForwardCommand.self,
    GenerateCommand.self,
    FitCommand.self,
    SwapCommand.self,
    DoctorCommand.self,
  ]

  /// What the program starts itself; no help shows them.
  static let internals: [any FileCommand.Type] = [CellCommand.self]
}
