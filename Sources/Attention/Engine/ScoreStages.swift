import AttentionCore
import CKernels
import Tensors

/// What makes the scores of a pass besides products of q and k, as its caller gives it.
///
/// `s_ij = scale · q_i·k_j`, or an additive score in its place; then a bias by distance, before any soft cap. Each is a stage of
/// the same tiles: patterns, masks, softmax and values are those of all others.
struct ScoreStages: Sendable {
  /// w of additive scores, `[queryHeads, headDim]`; `nil`: scores are products.
  var energy: Tensor?
  /// What is added by distance; `nil`: nothing.
  var bias: DistanceBias?

  /// A logit for each query head, with which the softmax of every row starts: that of a key whose value is 0; `nil`: none.
  var logits: [Float]?

  /// Scores are products, and nothing is added.
  static let products = ScoreStages()

  /// Whether scores are products and nothing else, whatever rows start with: rows that are computed one by one (decoding) know no others.
  var isPlain: Bool { energy == nil && bias == nil }

  /// Floats behind a row of dQ: what the row adds to dw, then its sums.
  static func sumCount(_ shape: AttentionShape, isAdditive: Bool, buckets: Int) -> Int {
    (isAdditive ? shape.headDim : 0) + buckets
  }

  /// The same of these stages.
  func sumCount(_ shape: AttentionShape) -> Int {
    Self.sumCount(shape, isAdditive: energy != nil, buckets: bias?.bucketCount ?? 0)
  }

  /// Bytes of a pass beyond that of products: up-converted inputs; going back, longer rows of dQ and a thread's tiles.
  static func workspaceBytes(of pass: PassKind, _ shape: AttentionShape, isAdditive: Bool, buckets: Int)
    -> Double
  {
    let wide = shape.precision == .float32 ? 0 : 2 * shape.inputBytes
    guard pass == .backward else { return wide }
    let more = sumCount(shape, isAdditive: isAdditive, buckets: buckets)
    let rows = Double(shape.batch * shape.queryHeads * shape.queryLength)
    let scratch = PinnedStages.scratchBytes(shape, isAdditive: isAdditive, buckets: buckets)
    return wide + 4 * rows * Double(shape.headDim + more)
      + Double(scratch * ProcessorChoices.current.localBackwardTiles)
  }
}

/// The stages of a pass where the kernels read them.
struct PinnedStages: Sendable {
  var energy: EnergyWeights?
  var bias: DistanceBias?
  /// As the caller gives them.
  var logits: [Float]?

  /// Calls `body` with them.
  static func reading<R>(_ stages: ScoreStages, _ body: (PinnedStages) throws -> R) rethrows -> R {
    try EnergyWeights.reading(stages.energy) {
      try body(PinnedStages(energy: $0, bias: stages.bias, logits: stages.logits))
    }
  }

  /// Floats behind a row of dQ.
  func sumCount(_ shape: AttentionShape) -> Int {
    ScoreStages.sumCount(shape, isAdditive: energy != nil, buckets: bias?.bucketCount ?? 0)
  }

  /// Bytes of a backward tile's scratch beyond that of products.
  func scratchBytes(_ shape: AttentionShape) -> Int {
    Self.scratchBytes(shape, isAdditive: energy != nil, buckets: bias?.bucketCount ?? 0)
  }

  static func scratchBytes(_ shape: AttentionShape, isAdditive: Bool, buckets: Int) -> Int {
    (isAdditive ? EnergyWeights.scratchBytes(shape) : 0) + 4 * Int(ATTN_LANES) * buckets
  }

  /// Tells a head of float32 inputs of them.
  func describe(_ head: inout attn_head, number: Int) {
    head.energy = energy?.head(number)
    guard let bias else { return }
    (head.bias, head.bucket) = (bias.values(of: number), bias.buckets(of: number))
    head.sums = Int32(bias.bucketCount)
  }

  /// The logit that a row starts with. Of query heads that are rows of one tile, a row has its own.
  func logit(_ head: Int, _ row: Int, _ shape: AttentionShape) -> Double? {
    guard let logits else { return nil }
    return Double(logits.count == shape.queryHeads ? logits[head] : logits[head * shape.queryLength + row])
  }

  /// What is added to the score of a pair, in Double.
  func bias(_ head: Int, distance: Int) -> Double { bias?.value(head, distance: distance) ?? 0 }

  /// Adds the slope of a pair to the sums of its row, which stand at the end of its row of dQ.
  func add(
    _ slope: Double, to row: UnsafeMutablePointer<Float>, _ shape: AttentionShape, head: Int, distance: Int
  ) {
    guard let bias else { return }
    let first = shape.headDim * (energy == nil ? 1 : 2)
    row[first + bias.bucket(head, distance: distance)] += Float(slope)
  }
}
