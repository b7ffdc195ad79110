import AttentionCore
import Basics
import Layers
import Models
import Ranks
import Settings
import Tasks
import Tensors

// A step whose gradients are summed row by row: by one process, or by ranks that share the rows.

extension TransformerModel {
  /// Adds up the gradients of a step's rows in the order of a `GradientTree`, into the model's gradients.
  ///
  /// Every rank makes all inputs, which are cheap, and walks through its own rows. The mean of a pass is over the labelled
  /// positions of all its rows. Dropout has a stream for each row.
  /// - Parameters:
  ///   - configuration: batch, passes, smoothing, seed.
  ///   - step: its number, from 1.
  ///   - communicator: the ranks; `nil`: this process has all rows.
  ///   - input: the rows of a pass; called with `(step − 1)·accumulation + pass`.
  /// - Returns: the loss over all rows, on every rank.
  /// - Throws: what the task and attention throw; `RankFailure`.
  /// - Complexity: beside the passes O(rows · parameters) additions, and log₂ rows + 2 gradients in memory.
  func sumRowGradients(
    _ configuration: TrainingConfiguration, step: Int, over communicator: (any Communicator)?,
    input: (Int) throws -> ModelInput
  ) throws -> CrossEntropy {
    let first = (step - 1) * configuration.accumulation
    let passes = try (0..<configuration.accumulation).map { try input(first + $0) }
    let counted = passes.map(scoredCount)
    let batch = configuration.batch
    let tree = GradientTree(rows: passes.reduce(0) { $0 + $1.batch }, communicator: communicator)
    var losses: [Int: CrossEntropy] = [:]
    // Every row leaves zeros for the next one.
    clearGradients()
    state.gradients = try tree.sum(layout.count, context) { row in
      let pass = row / batch
      losses[row] = try accumulateGradients(
        ofRow: try passes[pass].rows(row % batch..<row % batch + 1), smoothing: configuration.labelSmoothing,
        scale: counted[pass] == 0 ? 0 : 1 / Double(configuration.accumulation) / Double(counted[pass]),
        key: RandomKey(seed: UInt64(configuration.seed))("dropout")(first + pass)("row")(row % batch))
      let gradient = state.gradients
      state.gradients = try context.zeros(gradient.shape)
      return gradient
    }
    return try CrossEntropy.sum(losses, of: tree.rows, owner: tree.owner, over: communicator)
  }
}

extension CrossEntropy {
  /// The sum of numbered losses in their order, on every rank.
  /// - Parameters:
  ///   - own: those that this rank has, by number.
  ///   - count: how many all ranks have.
  ///   - owner: the rank that has a number.
  ///   - communicator: the ranks; `nil`: this process has all.
  /// - Returns: the sum.
  /// - Throws: `RankFailure`.
  static func sum(
    _ own: [Int: CrossEntropy], of count: Int, owner: (Int) -> Int, over communicator: (any Communicator)?
  ) throws -> CrossEntropy {
    guard let communicator, communicator.count > 1 else {
      return (0..<count).reduce(CrossEntropy()) { $0 + (own[$1] ?? CrossEntropy()) }
    }
    // As many numbers a loss, each at its place, so that all ranks send as many.
    var numbers = [Double](repeating: 0, count: numberCount * count)
    for (place, loss) in own {
      numbers.replaceSubrange(numberCount * place..<numberCount * (place + 1), with: loss.numbers)
    }
    let all = try communicator.gathered(numbers)
    return (0..<count).reduce(CrossEntropy()) { sum, place in
      sum + CrossEntropy(all[owner(place)][numberCount * place..<numberCount * (place + 1)])
    }
  }

  private static let numberCount = CrossEntropy().numbers.count

  private var numbers: [Double] { [sum] + [rows, correct, sequences, sequencesRight].map { Double($0) } }

  private init(_ numbers: ArraySlice<Double>) {
    let counts = numbers.dropFirst().map { Int($0) }
    self.init(
      sum: numbers[numbers.startIndex], rows: counts[0], correct: counts[1], sequences: counts[2],
      sequencesRight: counts[3])
  }
}

extension Trainer {
  /// Refuses ranks that cannot share a training.
  /// - Throws: `ConfigurationError` that names the setting.
  static func check(
    _ configuration: TrainingConfiguration, of model: TransformerModel, on communicator: (any Communicator)?
  ) throws(ConfigurationError) {
    guard configuration.sequenceRanks == 0 || configuration.gradientSum == .parts else {
      throw ConfigurationError(
        field: "sequence_ranks", value: "\(configuration.sequenceRanks)",
        allowed: "0 where ranks share no sequences (gradient_sum = \(configuration.gradientSum.rawValue))")
    }
    guard configuration.gradientSum == .rows else {
      guard configuration.gradientSum == .passes, let communicator, communicator.count > 1 else { return }
      throw ConfigurationError(
        field: "gradient_sum", value: configuration.gradientSum.rawValue,
        allowed: "rows where ranks share them, parts where they share sequences")
    }
    // Moments of a batch are of all its rows together.
    guard !model.configuration.hasBatchMoments else {
      let isNetwork = model.configuration.kind == .cnn
      throw ConfigurationError(
        field: isNetwork ? "kind" : "norm", value: isNetwork ? "cnn" : "batch",
        allowed: "no norm by moments of a batch where gradients are summed row by row")
    }
    let rows = configuration.batch * configuration.accumulation
    guard let communicator, communicator.count > rows else { return }
    throw ConfigurationError(
      field: "ranks", value: "\(communicator.count)",
      allowed: "at most \(rows) here: batch × accumulation rows are shared, and every rank needs one")
  }

  /// Makes sure that all ranks are at the same step of the same training, with the same instruction set and choices.
  /// - Throws: `ConfigurationError` that names the rank which differs; `RankFailure`.
  public func checkAgreement() throws {
    guard let communicator, communicator.count > 1 else { return }
    let sets = InstructionSet.allCases, own = sets.firstIndex(of: model.context.instructionSet) ?? 0
    let all = try communicator.gathered([
      Double(step), Double(tokens), Double(own), Double(model.context.choices.bitsHash),
    ])
    for (rank, other) in all.enumerated() {
      guard other[0] == all[0][0], other[1] == all[0][1] else {
        throw ConfigurationError(
          field: "ranks", value: "step \(Int(other[0])) on rank \(rank), step \(Int(all[0][0])) on rank 0",
          allowed: "one step: every rank reads the checkpoint, so all machines need its folder")
      }
      guard other[2] == all[0][2] else {
        let names = [other, all[0]].map { sets[Int($0[2])].rawValue }
        throw ConfigurationError(
          field: "ranks", value: "\(names[0]) on rank \(rank), \(names[1]) on rank 0",
          allowed: "one instruction set, or the ranks' weights would part; ATTNLAB_ISA chooses it")
      }
      guard other[3] == all[0][3] else {
        throw ConfigurationError(
          field: "ranks", value: "other choices by the processor on rank \(rank) than on rank 0",
          allowed: "the same (attnlab doctor shows them), or the ranks' weights would part; "
            + "ATTNLAB_CHOICES=assumed gives all the same")
      }
    }
  }

  /// Whether any rank says so: all ranks stop at the same step.
  /// - Parameter own: what this rank says.
  /// - Returns: the same on every rank.
  /// - Throws: `RankFailure`.
  public func anyRank(_ own: Bool) throws -> Bool {
    guard let communicator, communicator.count > 1 else { return own }
    return try communicator.gathered([own ? 1 : 0]).contains { $0[0] != 0 }
  }
}
