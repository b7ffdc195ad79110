import Basics
import Foundation
import Processes
import Subprocess

/// Draws figures with the program gnuplot.
///
/// gnuplot works in a private folder on files with names of ours, and what it drew is moved to its place: it takes a
/// file's name that begins with `|` or `<` for a command, so it never sees a name that a user gave.
public enum Gnuplot {
  /// What to do when it is missing.
  public static let advice =
    "gnuplot is not installed: apt-get install gnuplot-nox (Debian, Ubuntu) or brew install gnuplot"

  /// Makes a script of the names of picture and data, as the script is to call them.
  typealias Script = (_ output: String, _ data: String, Figure.Canvas) -> String

  /// The files that drawing a picture writes: the picture, its script, its data.
  public static func files(of picture: String) -> [String] {
    [picture, picture + ".gp", picture + ".dat"]
  }

  /// Draws a figure to a file, and keeps script and data beside it: `x.svg.gp`, `x.svg.dat`.
  /// - Returns: the files written.
  /// - Throws: `UsageError` for another extension than svg, png or pdf, a missing gnuplot, or a file that cannot be
  ///   written.
  public static func draw(_ figure: Figure, to file: String) async throws -> [String] {
    _ = try canvas(of: file)
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
      throw UsageError("\(file): the extension must be svg, png or pdf")
    }
    return canvas
  }

  /// Refuses a file name that no picture can have, before any work is done for it.
  /// - Parameters:
  ///   - file: the picture.
  ///   - flag: where the user named it.
  /// - Throws: `UsageError`.
  public static func checkExtension(of file: String, _ flag: String) throws(UsageError) {
    do { try canvas(of: file) } catch { throw UsageError("\(flag) \(error)") }
  }

  /// Draws what a script says, and keeps script and data beside the picture; the kept script draws it again.
  static func draw(to file: String, data: String, script: Script) async throws -> [String] {
    let canvas = try canvas(of: file)
    let picture = try await picture(data: Array(data.utf8), canvas: canvas, script: script)
    do throws(FileFailure) { try Folder.create(of: file) } catch { throw UsageError(error.description) }
    // With a folder before it no name is a pipe to a command (`|…`, `<…`), also when the user draws again.
    let name = "./" + URL(fileURLWithPath: file).lastPathComponent
    let files = files(of: file)
    try write(picture, to: files[0])
    try write(Array(script(name, name + ".dat", canvas).utf8), to: files[1])
    try write(Array(data.utf8), to: files[2])
    return files
  }

  /// The pieces of a figure as SVG for a page of its own colours (`Figure.pieces`, `PageSVG`); `nil` when gnuplot is missing.
  package static func inlineSVG(_ figure: Figure) async throws -> [String]? {
    try checkContent(figure)
    let pieces = figure.pieces
    do {
      let folder = try PrivateFolder()
      var script = ""
      for (number, piece) in pieces.enumerated() {
        try write(Array(piece.data.utf8), to: folder.path + "/figure\(number).dat")
        script += piece.script(
          output: "./picture\(number)", dataFile: "./figure\(number).dat", canvas: .svg(isTransparent: true))
        script += "unset output\nreset\n"
      }
      try await folder.run(script)
      return try pieces.enumerated().map { number, piece in
        PageSVG(
          try folder.picture("picture\(number)"), panel: piece.panels[0],
          // gnuplot numbers elements from 1 in every panel: of several it cannot be told which one has a number.
          elements: piece.panels.count == 1 ? piece.elements(piece.panels[0]) : []
        ).text
      }
    } catch let error as UsageError where error.description == advice {
      return nil
    }
  }

  /// The line that says how a kept script is used, in a shell that reads it literally.
  static func advice(of output: String) -> String {
    "# To draw it again, in this folder: gnuplot \(shellQuoted(oneLine(output) + ".gp"))"
  }

  private static func checkContent(_ figure: Figure) throws(UsageError) {
    guard !figure.panels.isEmpty else {
      throw UsageError("plot: there is no point to draw")
    }
  }

  /// What gnuplot draws.
  static func picture(data: [UInt8], canvas: Figure.Canvas, script: Script) async throws -> [UInt8] {
    let folder = try PrivateFolder()
    try write(data, to: folder.path + "/figure.dat")
    try await folder.run(script("./picture", "./figure.dat", canvas))
    return try folder.picture("picture")
  }

  /// The folder in which gnuplot works.
  private struct PrivateFolder {
    private let folder: TemporaryFolder
    var path: String { folder.path }

    init() throws(UsageError) {
      do { folder = try TemporaryFolder() } catch { throw UsageError(error.description) }
    }

    func run(_ script: String) async throws {
      try Gnuplot.write(Array(script.utf8), to: path + "/figure.gp")
      try await Gnuplot.run(in: path)
    }

    func picture(_ name: String) throws(UsageError) -> [UInt8] {
      guard let picture = FileManager.default.contents(atPath: path + "/" + name), !picture.isEmpty else {
        throw UsageError("gnuplot drew nothing")
      }
      return Array(picture)
    }
  }

  private static func write(_ bytes: [UInt8], to file: String) throws(UsageError) {
    do { try AtomicFile.write(bytes, to: file) } catch { throw UsageError(error.description) }
  }

  private static func run(in folder: String) async throws {
    let result: ChildProcess.Outcome<Bool>
    do {
      // The user's own start-up files are not read: they could change every figure.
      result = try await ChildProcess.run(.name("gnuplot"), ["-d", "./figure.gp"], in: folder)
    } catch let error as SubprocessError where error.code == .executableNotFound {
      throw UsageError(advice)
    } catch {
      throw UsageError("gnuplot cannot be run: \(ChildProcess.reason(error))")
    }
    guard result.status == .exited(0) else {
      let line = result.errors.split(whereSeparator: \.isNewline).last.map(String.init) ?? "no message"
      throw UsageError("gnuplot could not draw the figure: \(shown(line.trimmed, limit: 400))")
    }
  }
}
