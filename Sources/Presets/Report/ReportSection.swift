import Figures
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

    /// Creates a picture.
    public init(_ figure: Figure, caption: String, name: String? = nil) {
      (self.figure, self.caption, self.name) = (figure, caption, name)
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
  /// Tables, laws and failures, as HTML, of a preset's name.
  public var body: @Sendable (_ preset: String) -> String = { _ in "" }
  /// All rows, folded, as HTML.
  public var rows = ""

  /// Creates a section without content.
  public init(count: String, source: String) { (self.count, self.source) = (count, source) }
}
