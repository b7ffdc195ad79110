import Figures
import Foundation
import Records

/// The part of a report that one kind of experiment has.
public struct ReportSection: Sendable {
  /// A picture with what it shows.
  public struct Picture: Sendable {
    /// Its file's name without extension; `nil`: it has no file of its own.
    public let name: String?
    /// What it shows.
    public let caption: String
    /// The figure.
    public let figure: Figure
    /// What draws it, of a folder: `attnlab plot FOLDER --metric memory`, without the folder's name, thus `--metric memory`; `nil`:
    /// no command does.
    public var options: String?

    /// Creates a picture.
    public init(_ figure: Figure, caption: String, name: String? = nil, options: String? = nil) {
      (self.figure, self.caption, self.name, self.options) = (figure, caption, name, options)
    }
  }

  /// How much there is: `24 cells`.
  public let count: String
  /// Where the numbers are: `measurements.csv`.
  public let source: String
  /// The preset's name, where the rows say it.
  public var preset: String?
  /// When rows began, ISO 8601.
  public var startedAt: [String] = []
  /// Where rows were made.
  package var origins: [RowPlace] = []
  /// What the numbers say, in sentences.
  public var findings: [String] = []
  /// The pictures.
  public var pictures: [Picture] = []
  /// Tables, laws and failures, as HTML.
  public var body = ""
  /// The tables that the numbers stand in, by their file's name: the page holds them for programs, and shows them when asked.
  public var tables: [(file: String, text: String)] = []

  /// Creates a section without content.
  public init(count: String, source: String) { (self.count, self.source) = (count, source) }

  /// Adds a table of a folder, where there is one.
  /// - Parameters:
  ///   - file: its name.
  ///   - folder: where it stands.
  public mutating func add(table file: String, in folder: String) {
    guard let text = try? String(contentsOfFile: folder + "/" + file, encoding: .utf8) else { return }
    tables.append((file, text))
  }
}
