import Basics
import Settings
import Tensors

/// A task whose examples are drawn one by one, each from its own key.
///
/// Splits are apart by construction, not by luck: what an example says decides its split. Of every eight possible
/// examples one belongs to validation, one to test and six to train (by a hash), and a draw that belongs elsewhere is
/// drawn again from the next child key. Within a split the law of the examples is unchanged.
public protocol GeneratedTask: SequenceTask {
  /// The root of all draws.
  var key: RandomKey { get }
  /// Draws one example.
  /// - Throws: `ConfigurationError` when the settings allow none.
  func example(_ generator: inout RandomGenerator) throws(ConfigurationError) -> Example
}

extension GeneratedTask {
  /// Rows are drawn from `key(split)(row)(attempt)`.
  public func batch(split: Split, index: Int, batchSize: Int) throws -> TaskBatch {
    precondition(index >= 0 && batchSize >= 1, "batch \(index) of \(batchSize) rows")
    let splitKey = key(split.rawValue)
    let examples = try (0..<batchSize).map { row in
      try example(of: split, key: splitKey(index * batchSize + row))
    }
    return try TaskBatch(describing: examples, of: self)
  }

  private func example(of split: Split, key: RandomKey) throws -> Example {
    let attempts = 400
    for attempt in 0..<attempts {
      var generator = key(attempt).generator()
      let example = try example(&generator)
      if Split(fingerprint: example.fingerprint) == split { return example }
    }
    throw ConfigurationError(
      field: Self.card.id, value: configuration.summary,
      allowed: "settings with more distinct examples: none of \(attempts) draws belongs to \(split.rawValue)")
  }
}

extension Split {
  /// The split of an example by its hash: 6/8 train, 1/8 validation, 1/8 test.
  package init(fingerprint: UInt64) {
    switch fingerprint % 8 {
    case 0: self = .validation
    case 1: self = .test
    default: self = .train
    }
  }
}
