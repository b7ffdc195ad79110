import LabTestSupport
import Testing

@testable import Models
@testable import Training

/// A training that ran to its end, and the same one saved on the way and continued from the file by a third trainer.
struct ResumedTraining {
  /// The uninterrupted one.
  let whole: Trainer
  /// The one that was saved.
  let first: Trainer
  /// The one that read the file and has not gone on yet.
  let second: Trainer
  /// The file.
  let path: String
  private let scratch: Scratch

  /// - Parameters:
  ///   - steps: after how many of them the file is written.
  ///   - trainer: makes a trainer, the same one each time.
  init(after steps: Int = 5, _ trainer: () throws -> Trainer) throws {
    scratch = try Scratch()
    path = scratch("checkpoint.safetensors")
    (whole, first, second) = (try trainer(), try trainer(), try trainer())
    while !whole.isFinished { _ = try whole.advance() }
    for _ in 0..<steps { _ = try first.advance() }
    try first.save(to: path)
    try second.resume(from: path)
  }

  /// Lets the second one go on to its end, where its weights have the bits of the uninterrupted one's.
  func finish(sourceLocation: SourceLocation = #_sourceLocation) throws {
    while !second.isFinished { _ = try second.advance() }
    #expect(
      second.model.state.weights.array() == whole.model.state.weights.array(), sourceLocation: sourceLocation)
  }
}
