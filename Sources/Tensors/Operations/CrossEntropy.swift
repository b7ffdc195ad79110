import CKernels

/// The loss of a set of rows.
public struct CrossEntropy: Hashable, Sendable {
  /// The sum over counted rows, in nats.
  public var sum: Double
  /// Rows that counted.
  public var rows: Int
  /// Rows whose target had the largest logit.
  public var correct: Int
  /// Sequences with a row that counted, where whoever computed the loss saw whole sequences.
  public var sequences: Int
  /// Those of which every row that counted was right.
  public var sequencesRight: Int

  /// Creates a loss.
  public init(
    sum: Double = 0, rows: Int = 0, correct: Int = 0, sequences: Int = 0, sequencesRight: Int = 0
  ) {
    (self.sum, self.rows, self.correct) = (sum, rows, correct)
    (self.sequences, self.sequencesRight) = (sequences, sequencesRight)
  }

  /// The mean over counted rows, in nats; 0 when none counted.
  public var mean: Double { rows == 0 ? 0 : sum / Double(rows) }
  /// The share of counted rows that were right; 0 when none counted.
  public var accuracy: Double { rows == 0 ? 0 : Double(correct) / Double(rows) }
  /// The share of sequences of which every row that counted was right; `nil` when none was counted as a whole.
  public var exactMatch: Double? {
    sequences == 0 ? nil : Double(sequencesRight) / Double(sequences)
  }

  /// Two sets of rows together.
  public static func + (first: CrossEntropy, second: CrossEntropy) -> CrossEntropy {
    CrossEntropy(
      sum: first.sum + second.sum, rows: first.rows + second.rows, correct: first.correct + second.correct,
      sequences: first.sequences + second.sequences,
      sequencesRight: first.sequencesRight + second.sequencesRight)
  }
}

extension ExecutionContext {
  /// Softmax cross-entropy over rows, with label smoothing and ignored rows.
  ///
  /// `loss_r = lse(z_r) − (1−ε)·z_r[t] − ε·mean(z_r)`; a target below 0 is ignored. When `gradientScale` is not 0 the
  /// logits are replaced by their gradients `scale·(softmax(z) − (1−ε)·onehot − ε/V)`.
  /// logits `[rows, vocabulary]`. - Complexity: O(rows·vocabulary).
  /// - Precondition: targets are below the vocabulary.
  /// - Parameters:
  ///   - logits: `[rows, vocabulary]`.
  ///   - targets: one a row.
  ///   - smoothing: ε.
  ///   - gradientScale: what the gradients are multiplied by; 0: there are none.
  /// - Throws: `MemoryLimitExceeded`.
  /// - Returns: the sum over all rows.
  public func crossEntropy(
    _ logits: inout Tensor, targets: [Int32], smoothing: Double = 0, gradientScale: Double
  ) throws(MemoryLimitExceeded) -> CrossEntropy {
    try crossEntropies(&logits, targets: targets, smoothing: smoothing, gradientScale: gradientScale).total
  }

  /// The same, with the loss of every row.
  /// - Parameters:
  ///   - logits: `[rows, vocabulary]`.
  ///   - targets: one a row.
  ///   - smoothing: ε.
  ///   - gradientScale: what the gradients are multiplied by; 0: there are none.
  /// - Throws: `MemoryLimitExceeded`.
  /// - Returns: the sum over all rows; each row's loss: 0 of an ignored one; and whether each counts and was right. Sequences are not
  ///   counted: rows do not say where one ends.
  public func crossEntropies(
    _ logits: inout Tensor, targets: [Int32], smoothing: Double = 0, gradientScale: Double
  ) throws(MemoryLimitExceeded) -> (total: CrossEntropy, rows: [Double], hits: [Bool]) {
    let rows = logits.shape[0], vocabulary = logits.shape[1]
    precondition(targets.count == rows && logits.isContiguous, "\(targets.count) targets for \(logits.shape)")
    precondition(
      targets.allSatisfy { $0 < vocabulary }, "a target is outside the vocabulary of \(vocabulary)")
    let losses = try PinnedView(repeating: 0.0, count: rows, in: ledger)
    let hits = try PinnedView(repeating: Int32(0), count: rows, in: ledger)
    let wanted = try PinnedView(targets, in: ledger), z = logits.pinnedForWriting()
    slices(rows, grain: 16, cost: vocabulary * 8) { part in
      let at = part.lowerBound
      attn_cross_entropy(
        isa, z + at * vocabulary, wanted + at, losses + at, hits + at, part.count, vocabulary,
        Float(smoothing), Float(gradientScale))
    }
    let each = losses.array(count: rows)
    let right = hits.array(count: rows).map { $0 != 0 }
    let total = CrossEntropy(
      sum: each.reduce(0, +), rows: targets.count { $0 >= 0 }, correct: right.count { $0 })
    return (total, each, right)
  }
}
