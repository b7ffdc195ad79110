import Basics
import Foundation
import Processes
import Records
import Trainings

/// What `attnlab run` and `attnlab compare` say of trainings.
enum TrainingSummary {
  /// Whether a file, or the one in a folder, holds trainings.
  static func isTrainings(_ path: String, dialect: CSVDialect = CSVDialect()) -> Bool {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return false }
    let files = FileManager.default
    if isFolder.boolValue {
      return files.fileExists(atPath: path + "/runs.csv")
        && !files.fileExists(atPath: path + "/measurements.csv")
    }
    return (try? CSVTable(contentsOf: path, dialect: dialect)).map { TrainingRow.isHeader($0.header) }
      ?? false
  }

  /// The `runs.csv` of a path.
  static func file(_ path: String) -> String {
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    return exists && isFolder.boolValue ? path + "/runs.csv" : path
  }

  /// Comparison, laws with the commands that fit them again, and where everything is.
  static func page(_ rows: [TrainingRow], folder: String, pictures: [String], report: String) -> String {
    let comparison = TrainingComparison(rows)
    var text = comparison.text
    if !comparison.laws.isEmpty {
      text +=
        "\n\nthe same fits:\n"
        + comparison.laws.map { "  " + $0.command(file: folder + "/runs.csv") }
        .joined(separator: "\n")
    }
    text += "\n\nrows:   \(folder)/runs.csv, \(folder)/curves.csv"
    if !pictures.isEmpty { text += "\nplots:  \(pictures.joined(separator: ", "))" }
    return text + "\nreport: \(report)"
  }

  /// Trains what is missing and says what was found.
  static func run(_ runner: TrainingRunner, isJSON: Bool) async throws {
    let outcome = try await runner.run(
      interruption: .ofProcess, note: { Terminal.note($0) }, progress: { Terminal.progress($0) })
    try Interruption.ofProcess.endsAtOnce()
    Terminal.clearProgress()
    let folder = runner.folder.path
    if outcome.added == 0 {
      Terminal.note(
        "\(folder) is finished (\(outcome.kept) trainings); these are its results, --fresh trains again")
    }
    let report = try TrainingReport(folder: folder)
    let (path, warning) = try await report.write(
      to: runner.preset.hasMeasurements ? folder + "/trainings.html" : nil)
    if let warning { Terminal.note("warning: \(warning)") }
    let pictures = warning == nil ? try await report.drawPictures() : []
    if isJSON {
      print(
        JSONValue.object([
          "folder": .string(folder), "report": .string(path), "plots": .array(pictures.map { .string($0) }),
          "rows": .int(outcome.rows.count), "added": .int(outcome.added),
          "comparison": TrainingComparison(outcome.rows).json,
        ]).pretty)
    } else {
      print(page(outcome.rows, folder: folder, pictures: pictures, report: path))
    }
  }
}
