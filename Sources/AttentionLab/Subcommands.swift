import ArgumentParser
import Commands
import ModelCommands

/// The subcommands, in the groups and in the order in which `attnlab --help` shows them: one line each.
enum Subcommands {
  /// What is done, with the subcommands that do it.
  static let groups: [(name: String, commands: [any FileCommand.Type])] = [
    (
      "Measure",
      [
        RunCommand.self,
        StatusCommand.self,
        MergeCommand.self,
        SlurmCommand.self,
        MeasureCommand.self,
        CompareCommand.self,
        MaskCommand.self,
        ApplyCommand.self,
        CheckCommand.self,
        BenchCommand.self,
      ]
    ),
    (
      "Train",
      [
        TrainCommand.self,
        ForwardCommand.self,
        GenerateCommand.self,
        SwapCommand.self,
        TextCommand.self,
        TaskCommand.self,
        GradeCommand.self,
      ]
    ),
    (
      "Fit",
      [
        FitCommand.self,
        PlotCommand.self,
        ReportCommand.self,
      ]
    ),
    (
      "Tools",
      [
        ListCommand.self,
        DoctorCommand.self,
      ]
    ),
  ]

  /// All of them.
  static let all = groups.flatMap(\.commands)

  /// What the program starts itself; no help shows them.
  static let internals: [any FileCommand.Type] = [CellCommand.self]
}
