import Basics
import Foundation
import Presets
import Records

/// The event file that TensorBoard reads: the numbers of `steps.csv` and `curves.csv` once more.
///
/// It is made of the tables whenever a training goes on, so that it holds what they hold, whatever ended the session
/// before; from there on it grows with them. The time of an event is the start of the first session plus the seconds of
/// training until then, so that pauses between sessions do not show.
public final class EventLog {
  /// The file in the folder of a training; TensorBoard finds it by `tfevents` in its name.
  public static let file = "tensorboard/events.out.tfevents.attnlab"
  private let path: String
  private let start: Double
  private let handle: FileHandle

  /// What an event says, and when in the training.
  struct Moment {
    let step: Int
    let seconds: Double
    let scalars: [(tag: String, value: Double?)]

    /// The record of an event file.
    /// - Parameter start: when the training began, in seconds since 1970.
    func bytes(after start: Double) -> [UInt8] {
      let known = scalars.compactMap { tag, value in value.map { (tag: tag, value: $0) } }
      return EventRecord(wallTime: start + seconds, step: step, scalars: known).bytes
    }
  }

  /// Makes the file of the tables in a folder.
  /// - Parameters:
  ///   - id: the training.
  ///   - folder: the folder.
  /// - Throws: `UsageError` when tables cannot be read or the file cannot be written.
  init(of id: String, in folder: RunFolder) throws(UsageError) {
    path = folder.path + "/" + Self.file
    start = Self.start(of: folder)
    let steps = FileManager.default.fileExists(atPath: folder.steps) ? try StepRow.read(folder.steps) : []
    let points = FileManager.default.fileExists(atPath: folder.curves) ? try CurveRow.read(folder.curves) : []
    let moments =
      steps.filter { $0.runID == id }.map(Self.record) + points.filter { $0.runID == id }.map(Self.record)
    var bytes = EventRecord.beginning(wallTime: start)
    for moment in moments.stablySorted(by: \.step) { bytes += moment.bytes(after: start) }
    do throws(FileFailure) {
      try Folder.create(URL(fileURLWithPath: path).deletingLastPathComponent().path)
      try AtomicFile.write(bytes, to: path)
    } catch {
      throw UsageError(error.description)
    }
    guard let handle = FileHandle(forWritingAtPath: path) else {
      throw UsageError("\(path): it cannot be opened")
    }
    self.handle = handle
    _ = try? handle.seekToEnd()
  }

  deinit { try? handle.close() }

  /// Makes the file of a finished training.
  /// - Parameters:
  ///   - id: the training.
  ///   - folder: its folder.
  /// - Throws: `UsageError` when tables cannot be read or the file cannot be written.
  public static func write(of id: String, in folder: RunFolder) throws(UsageError) {
    let log = try EventLog(of: id, in: folder)
    for row in try TrainingRow.read(folder.runs) where row.runID == id && row.isTraining {
      try log.append(record(of: row))
    }
  }

  /// When the first session began, in seconds since 1970; 0 where no record says so.
  private static func start(of folder: RunFolder) -> Double {
    let record = try? EnvironmentRecord.read(folder)
    let text = record?["sessions"].arrayValue.first?["started_at"].stringValue
    let format = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
    return text.flatMap { try? Date($0, strategy: format) }?.timeIntervalSince1970 ?? 0
  }

  /// Adds an event.
  /// - Throws: `UsageError` when it cannot be written.
  func append(_ moment: Moment) throws(UsageError) {
    do { try handle.write(contentsOf: moment.bytes(after: start)) } catch {
      throw UsageError("\(path): it cannot be written; --tensorboard makes it anew")
    }
  }

  /// What the losses of an auxiliary task have behind their names.
  private static func suffix(_ isMain: Bool, _ task: String) -> String { isMain ? "" : "/" + task }

  static func record(of row: StepRow) -> Moment {
    Moment(
      step: row.step ?? 0, seconds: row.seconds ?? 0,
      scalars: [
        ("train/loss\(suffix(row.isMain, row.lossTask))", row.loss)
      ]
        + (row.isMain
          ? [("train/learning_rate", row.learningRate), ("train/gradient_norm", row.gradientNorm)] : []))
  }

  static func record(of point: CurveRow) -> Moment {
    Moment(
      step: point.step ?? 0, seconds: point.seconds ?? 0,
      scalars: [
        ("validation/loss\(suffix(point.isMain, point.lossTask))", point.validationLoss),
        ("validation/accuracy\(suffix(point.isMain, point.lossTask))", point.validationAccuracy),
      ])
  }

  static func record(of row: TrainingRow) -> Moment {
    Moment(
      step: row.steps ?? 0, seconds: row.seconds ?? 0,
      scalars: [("test/loss", row.testLoss), ("test/accuracy", row.testAccuracy)])
  }
}
