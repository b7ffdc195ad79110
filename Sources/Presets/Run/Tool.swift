import Basics
import Foundation
import Processes
import Tasks

/// Other programs that the lab asks: git, gnuplot.
public enum Tool {
  /// What a program printed, without the last line break; `nil` when it is missing or failed.
  public static func output(_ name: String, _ arguments: [String], in folder: String? = nil) async -> String?
  {
    let result = try? await ChildProcess.run(.name(name), arguments, in: folder)
    guard let result, result.status == .exited(0) else { return nil }
    return result.output.trimmed
  }

  /// The commit of the project whose sources are found from these places, with `+` when files differ from it.
  public static func commit(anchors: [String]) async -> String? {
    let folder = TextCorpus.projectFolder(anchors: anchors) ?? FileManager.default.currentDirectoryPath
    guard let commit = await output("git", ["rev-parse", "HEAD"], in: folder) else { return nil }
    let changes = await output("git", ["status", "--porcelain", "--untracked-files=no"], in: folder)
    return changes?.isEmpty == false ? commit + "+" : commit
  }

  /// The version of gnuplot, or `nil` when it is missing.
  public static func gnuplotVersion() async -> String? { await output("gnuplot", ["--version"]) }
}
