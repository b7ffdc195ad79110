import ArgumentParser
import AttentionCore
import Basics
import Commands
import Foundation
import Models
import Pages
import Presets
import Processes
import Ranks
import Tensors

/// The program `attnlab`: the root of all subcommands.
///
/// A package of one's own adds variants with `AttentionLab.main(catalog: .standard + [MyVariant.self])`, kinds of
/// experiment with `kinds: .standard + [MyKind.self]`, and gets every subcommand.
public struct AttentionLab: ParsableCommand {
  /// Name, help and subcommands.
  public static let configuration = CommandConfiguration(
    commandName: "attnlab",
    abstract: "A laboratory for long-context attention: measure, compare, fit, train.",
    discussion: [
      "Start here:",
      "  attnlab list            variants, tasks, forms, presets",
      "  attnlab run quickstart  seven variants on real text in two minutes",
      "  attnlab report results/quickstart",
      "",
      "Every subcommand has --help with examples. Exit codes: 0 done, 1 ran but a check failed, 2 wrong usage or bad input, "
        + "130 interrupted.",
    ].joined(separator: "\n"),
    version: "attnlab \(LabVersion.current)",
    subcommands: Subcommands.internals,
    groupedSubcommands: Subcommands.groups.map { CommandGroup(name: $0.name, subcommands: $0.commands) })

  /// Creates the root command; the parser needs it.
  public init() {}

  /// Runs the program on the process's arguments and ends the process.
  /// - Parameters:
  ///   - catalog: the variants that every subcommand sees.
  ///   - kinds: the kinds of experiment that presets can ask for; the first is meant where a preset names none.
  public static func main(catalog: Catalog, kinds: ExperimentCatalog = .standard) -> Never {
    StandardOutput.reserve()
    Interruption.listen()
    if let rank = RankProcesses.name { Interruption.ofProcess.tellsAs(rank) }
    Foundation.exit(run(arguments: Array(CommandLine.arguments.dropFirst()), catalog: catalog, kinds: kinds))
  }

  /// Runs the program and returns its exit code: 0 done, 1 a check failed, 2 wrong usage, bad input or a result that
  /// could not be written, 130 interrupted.
  public static func run(
    arguments: [String], catalog: Catalog, kinds: ExperimentCatalog = .standard
  ) -> Int32 {
    let arguments = FormerFlags.renamed(joiningNegativeNumbers(arguments), catalog)
    let code = Installed.$kinds.withValue(kinds) { Self.code(of: arguments, catalog: catalog) }
    guard let problem = StandardOutput.takeProblem() else { return code }
    Terminal.complain("\(name(of: arguments)): standard output: \(problem)")
    return code == 0 ? 2 : code
  }

  private static func code(of arguments: [String], catalog: Catalog) -> Int32 {
    do {
      let problem =
        InstructionSet.environmentProblem ?? BFloat16Choice.environmentProblem
        ?? ProcessorChoices.environmentProblem
      if let problem { throw UsageError(problem) }
      if let warning = ProcessorChoices.resolved().warning { Terminal.complain("warning: \(warning)") }
      try checkSubcommand(arguments.first)
      try Installed.$catalog.withValue(catalog) { try execute(arguments) }
      return 0
    } catch {
      return report(error, arguments: arguments)
    }
  }

  /// The parser calls an unknown subcommand an unexpected argument; this says what was meant.
  private static func checkSubcommand(_ word: String?) throws {
    guard let word, !word.hasPrefix("-") else { return }
    let names = Subcommands.all.map { $0._commandName } + ["help"]
    let hidden = Subcommands.internals.map { $0._commandName }
    guard !names.contains(word), !hidden.contains(word) else { return }
    throw UsageError("\(shown(word)) is no subcommand; it takes one of \(choices(names, near: word))")
  }

  /// The parser takes `-1` after `--steps` for a flag; `--steps=-1` says what is meant, so that the answer is about the
  /// number. No subcommand has flags that begin with a digit.
  private static func joiningNegativeNumbers(_ arguments: [String]) -> [String] {
    var joined: [String] = []
    for word in arguments {
      let isNegative = word.first == "-" && word.dropFirst().first.map { $0.isNumber || $0 == "." } == true
      if isNegative, let flag = joined.last, flag.hasPrefix("--"), flag.count > 2, !flag.contains("=") {
        joined[joined.count - 1] = "\(flag)=\(word)"
      } else {
        joined.append(word)
      }
    }
    return joined
  }

  private static func execute(_ arguments: [String]) throws {
    var command = try parseAsRoot(arguments)
    if let command = command as? any FileCommand { try OutputFiles.check(command.files()) }
    guard command is any AsyncParsableCommand else { return try command.run() }
    // A command is no `Sendable` value, so the task parses it again.
    try Blocking.wait { [catalog = Installed.catalog, kinds = Installed.kinds] in
      try await Installed.$catalog.withValue(catalog) {
        try await Installed.$kinds.withValue(kinds) {
          guard var command = try parseAsRoot(arguments) as? any AsyncParsableCommand else { return }
          try await command.run()
        }
      }
    }
  }

  /// Prints an error as one line on standard error, or a requested help on standard output.
  private static func report(_ error: any Error, arguments: [String]) -> Int32 {
    if let code = error as? ExitCode { return code.rawValue }
    if let failure = error as? CheckFailure {
      let line = failure.description
      Terminal.complain(line.hasPrefix("attnlab") ? line : "\(name(of: arguments)): \(line)")
      return 1
    }
    if let diverged = error as? TrainingDiverged {
      Terminal.complain(
        "\(arguments.first.map { "attnlab \($0)" } ?? "attnlab"): \(diverged); nothing was overwritten")
      return 1
    }
    if error is Interrupted {
      Terminal.complain("attnlab: interrupted; the same command continues")
      return Interruption.exitCode
    }
    let code = exitCode(for: error)
    if code == .success {
      let width = Screen.columns()
      // What another program reads, such as a completion script, is no page.
      let isPage = !arguments.contains {
        $0.hasPrefix("--generate-completion-script") || $0 == "--experimental-dump-help"
      }
      let text = fullMessage(for: error, columns: width)
      print(isPage ? HelpText.fitted(text, width: width) : text)
      return 0
    }
    let command = name(of: arguments)
    guard code == .validationFailure else {
      Terminal.complain("\(command): \(oneLine(error))")
      return 2
    }
    let line = ParserMessage.line(message(for: error))
    Terminal.complain("\(command): \(line.text)\(line.isComplete ? "" : " (see \(command) --help)")")
    return 2
  }

  /// The program with its subcommand, as messages begin.
  private static func name(of arguments: [String]) -> String {
    let subcommand = arguments.prefix(1).first { word in Subcommands.all.contains { $0._commandName == word }
    }
    return "attnlab" + (subcommand.map { " \($0)" } ?? "")
  }

  private static func oneLine(_ error: any Error) -> String {
    let text = (error as? CocoaError)?.localizedDescription ?? "\(error)"
    return text.split(whereSeparator: \.isNewline).map { $0.trimmed }
      .joined(separator: " ")
  }
}
