import Basics
import Tasks
import Tensors

/// What is asked of a file or folder.
public struct TextQuestion {
  /// The text.
  public var text: TextStream
  /// What is asked; `nil`: nothing.
  public var question: [UInt8]?
  /// A trained model; `nil`: none is at hand.
  public var model: (any TextModel)?
  /// Rows that the model reads at a time.
  public var batch: Int

  /// Creates a question.
  public init(_ text: TextStream, asking question: [UInt8]?, of model: (any TextModel)?, batch: Int = 8) {
    (self.text, self.question, self.model, self.batch) = (text, question, model, batch)
  }
}

/// A trained model of bytes, as far as ways ask one.
public protocol TextModel {
  /// What it predicts: every next byte, or a class.
  var kind: TaskKind { get }
  /// The longest row that it can read; `nil`: any.
  var longest: Int? { get }
  /// Where products run.
  var context: ExecutionContext { get }
  /// The loss over the targets of rows.
  /// - Throws: what attention throws.
  func loss(of rows: [Example]) throws -> CrossEntropy
  /// The probabilities of the classes of rows.
  /// - Throws: what attention throws.
  func probabilities(of rows: [Example]) throws -> [[Double]]
  /// The mean of the last hidden states of texts, `[texts, width]`.
  /// - Throws: what attention throws.
  func embeddings(of texts: [[UInt8]]) throws -> Tensor
}

/// What a way made of a text.
public struct TextAnswer: Sendable {
  /// What was read and kept.
  public var count: StageCount
  /// What is counted: sentences, passages, windows.
  public var unit: String
  /// What was found, for programs.
  public var found: [JSONValue.Member] = []
  /// The same for people, a line each.
  public var lines: [String] = []

  /// All for programs.
  public var json: JSONValue {
    guard case .object(let counts) = count.json else { return count.json }
    return .object(found + counts)
  }

  /// All for people.
  public var text: String { (lines + [count.text(unit)]).joined(separator: "\n") }
}

extension TextQuestion {
  /// The question, where a way needs one.
  func asked(for what: String) throws(UsageError) -> [UInt8] {
    guard let question, !question.isEmpty else {
      throw UsageError("--question: \(what) compares with a question; give one")
    }
    return question
  }

  /// The model, where a way needs one.
  func asked(modelFor what: String) throws(UsageError) -> any TextModel {
    guard let model else {
      throw UsageError("--checkpoint: \(what) asks a trained model; give one of attnlab train")
    }
    return model
  }
}
