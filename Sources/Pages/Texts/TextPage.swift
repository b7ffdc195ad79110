import Basics
import LongText

/// What `attnlab text` does: a way around attention over a file or folder.
package struct TextPage {
  private let way: any TextWay
  private let path: String
  private let question: String?
  private let out: String?

  /// Reads the way.
  /// - Throws: `ConfigurationError` that quotes what is wrong with it; `UsageError` for none.
  package init(_ path: String, way line: String, question: String?, out: String?) throws {
    guard let way = try WayCatalog.standard.make(line) else {
      throw UsageError("--way none: it takes one of \(WayCatalog.standard.ids.joined(separator: ", "))")
    }
    (self.way, self.path, self.question, self.out) = (way, path, question, out)
  }

  /// Goes through the text.
  /// - Parameters:
  ///   - model: a trained model; `nil`: none was named.
  ///   - batch: rows that it reads at a time.
  ///   - emit: is called with text that is kept, where no file takes it.
  /// - Throws: `UsageError`, `TextError`; what attention throws; `FileFailure`.
  package func answer(
    by model: PretrainedText?, batch: Int, _ emit: ([UInt8]) -> Void
  ) throws -> TextAnswer {
    let asked = TextQuestion(
      try TextStream(path), asking: question.map { Array($0.utf8) }, of: model, batch: batch)
    guard let out else { return try way.answer(asked, emit) }
    var result: Result<TextAnswer, any Error>?
    do {
      try AtomicFile.write(to: out) { append in
        let made = Result {
          try way.answer(asked) { bytes in
            guard bytes.withUnsafeBytes(append) else {
              throw FileFailure(path: out, problem: "cannot be written")
            }
          }
        }
        result = made
        return (try? made.get()) != nil
      }
    } catch {
      // What the way says goes before what became of the file.
      if case .failure(let reason)? = result, !(reason is FileFailure) { throw reason }
      throw error
    }
    guard let result else { throw FileFailure(path: out, problem: "cannot be written") }
    return try result.get()
  }
}
