import Basics
import Foundation
import Subprocess
import SystemPackage

/// Draws figures with the program gnuplot.
public enum Gnuplot {
  /// What to do when it is missing.
  public static let advice =
    "gnuplot is not installed: apt-get install gnuplot-nox (Debian, Ubuntu) or brew install gnuplot"

  /// Draws a figure to a file, and keeps script and data beside it: `x.svg.gp`, `x.svg.dat`.
  /// - Returns: the files written.
  /// - Throws: `UsageError` for another extension than svg, png or pdf, a missing gnuplot, or a file that cannot be
  ///   written.
  public static func draw(_ figure: Figure, to file: String) async throws -> [String] {
    try checkExtension(of: file)
    try checkContent(figure)
    return try await draw(to: file, data: figure.data) { output, data, canvas in
      figure.script(output: output, dataFile: data, canvas: canvas)
    }
  }

  /// What a file is drawn on, by its extension.
  /// - Throws: `UsageError`.
  @discardableResult
  static func canvas(of file: String) throws(UsageError) -> Figure.Canvas {
    guard let canvas = Figure.Canvas(file: file) else {
      throw UsageError("--plot \(file): the extension must be svg, png or pdf")
    }
    return canvas
  }

  /// Refuses a file name that no picture can have, before any work is done for it.
  /// - Throws: `UsageError`.
  public static func checkExtension(of file: String) throws(UsageError) { try canvas(of: file) }

  /// Draws what a script says, given the names of picture and data, and keeps script and data beside the picture.
  static func draw(
    to file: String, data: String, script: (_ output: String, _ data: String, Figure.Canvas) -> String
  ) async throws -> [String] {
    let canvas = try canvas(of: file)
    let folder = URL(fileURLWithPath: file).deletingLastPathComponent().path
    let name = URL(fileURLWithPath: file).lastPathComponent
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw UsageError("\(folder): the folder cannot be made: \(error.localizedDescription)")
    }
    try RunFolder.replace(file + ".dat", with: data)
    // With a folder before it no name is a pipe to a command (`|…`, `<…`).
    try RunFolder.replace(file + ".gp", with: script("./" + name, "./" + name + ".dat", canvas))
    try await run(script: name + ".gp", in: folder)
    guard FileManager.default.fileExists(atPath: file) else {
      throw UsageError("\(file): gnuplot wrote nothing")
    }
    return [file, file + ".gp", file + ".dat"]
  }

  /// The figure as an SVG without background, for a page of its own colours; `nil` when gnuplot is missing.
  static func inlineSVG(_ figure: Figure) async throws -> String? {
    try checkContent(figure)
    let folder = NSTemporaryDirectory() + "attnlab-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try RunFolder.replace(folder + "/figure.dat", with: figure.data)
    let script = figure.script(
      output: "figure.svg", dataFile: "figure.dat", canvas: .svg(isTransparent: true))
    try RunFolder.replace(folder + "/figure.gp", with: script)
    do {
      try await run(script: "figure.gp", in: folder)
    } catch let error as UsageError where error.description == advice {
      return nil
    }
    return try? String(contentsOfFile: folder + "/figure.svg", encoding: .utf8)
  }

  private static func checkContent(_ figure: Figure) throws(UsageError) {
    guard !figure.panels.isEmpty else {
      throw UsageError("plot: there is no point to draw")
    }
  }

  private static func run(script: String, in folder: String) async throws {
    let result: ExecutionResult<Void, StringOutput<UTF8>, StringOutput<UTF8>>
    do {
      result = try await Subprocess.run(
        .name("gnuplot"), arguments: [script], workingDirectory: FilePath(folder), input: .none,
        output: .string(limit: 1 << 20), error: .string(limit: 1 << 20))
    } catch {
      throw UsageError(advice)
    }
    guard result.terminationStatus == .exited(0) else {
      let line = result.standardError.split(whereSeparator: \.isNewline).last.map(String.init) ?? "no message"
      throw UsageError("gnuplot could not draw \(folder)/\(script): \(line.trimmed)")
    }
  }
}
