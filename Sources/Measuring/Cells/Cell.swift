import AttentionCore
import Basics
import Presets
import Settings
import Tensors

/// One measurement to be made: a variant with its settings, a pass, a shape, and how to run it.
public struct Cell: ExperimentCell {
  /// The preset's name; empty for a single measurement.
  public var preset = ""
  /// The experiment's name; empty for a single measurement.
  public var experiment = ""
  /// The variant's id.
  public var variant: String
  /// The variant's settings that differ from its defaults.
  public var settings: [String: ParameterValue] = [:]
  /// What is timed.
  public var pass: PassKind = .forward
  /// Sequences.
  public var batch = 1
  /// Query heads.
  public var heads = 1
  /// Key heads.
  public var keyHeads = 1
  /// Rows of q; 1 when decoding.
  public var queryLength: Int
  /// Rows of k and v.
  public var keyLength: Int
  /// The last axis of q and k.
  public var headDim = 64
  /// The last axis of v.
  public var valueDim = 64
  /// Whether a query sees only its past.
  public var isCausal = false
  /// How q, k and v are stored.
  public var precision = Precision.float32
  /// Processes that share the sequence.
  public var ranks = 1
  /// Threads, of every rank.
  public var threads = Parallel.processorCount
  /// The instruction set's name.
  public var instructionSet = InstructionSet.default.rawValue
  /// Where q, k and v come from.
  public var input: InputSource = .gaussian
  /// The seed of inputs and of the variant's own draws.
  public var seed: UInt64 = 1
  /// Passes before the first timed one.
  public var warmup = 1
  /// The most timed repeats.
  public var repeats = 5
  /// Once this many seconds and three repeats are timed, no more repeats.
  public var budgetSeconds = 10.0
  /// The share of the peak that multiply-adds must have beside a repeat that counts; 0: all count.
  public var quiet = 0.0

  /// Creates a cell of one variant at one length.
  public init(variant: String, queryLength: Int, keyLength: Int? = nil) {
    self.variant = variant
    self.queryLength = queryLength
    self.keyLength = keyLength ?? queryLength
  }

  /// The shape.
  /// - Throws: `ConfigurationError` when sizes do not fit each other.
  public func shape() throws(ConfigurationError) -> AttentionShape {
    try AttentionShape(
      batch: batch, queryHeads: heads, keyHeads: keyHeads, queryLength: queryLength, keyLength: keyLength,
      headDim: headDim, valueDim: valueDim, isCausal: isCausal, precision: precision)
  }

  /// What the products are of: bfloat16 pairs only forward, and only where that is the road taken.
  public var productPrecision: Precision {
    pass != .backward && bfloat16?.road == .products ? precision : .float32
  }

  /// How bfloat16 rows are multiplied, and why; `nil` of float32.
  public var bfloat16: BFloat16Choice? {
    precision == .bfloat16 ? InstructionSet(rawValue: instructionSet).map(BFloat16Choice.of) : nil
  }

  /// Seconds of its passes as if all pairs counted, at a rate that most machines reach, with those of its process.
  public var effort: Double {
    let pairs = Double(batch) * Double(heads) * Double(pass == .decode ? 1 : queryLength) * Double(keyLength)
    let one = pairs * Double(headDim) * (pass == .backward ? 14 : 4) / (2e10 * Double(max(1, threads)))
    return 0.2 + Double(max(1, warmup)) * one + min(Double(repeats) * one, max(budgetSeconds, 3 * one))
  }

  /// That of its variant and pass.
  public var pace: String { "\(variant) \(pass.rawValue)" }

  /// What else must be equal for two cells to be the same series over lengths.
  var series: String {
    var cell = self
    (cell.queryLength, cell.keyLength) = (0, 0)
    return cell.id
  }

  /// Cells that one conformance check speaks for: lengths beyond the check's own are reduced to it, and it covers
  /// forward and backward.
  var shapeClass: String {
    var cell = self
    let longest = 320
    (cell.queryLength, cell.keyLength) = (min(queryLength, longest), min(keyLength, longest))
    (cell.pass, cell.batch, cell.input, cell.experiment) = (.forward, 1, .gaussian, "")
    cell.ranks = 1
    return cell.id
  }

  /// The peak that its rate is a fraction of.
  public var peak: PeakNeed {
    PeakNeed(threads: threads, instructionSet: instructionSet, precision: productPrecision)
  }

  /// The cell in a few words where it stands alone, as in messages; among others `CellNames` names it.
  public var label: String {
    let set = settings.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
    let length =
      pass == .decode || keyLength != queryLength ? "\(queryLength)×\(keyLength)" : "\(queryLength)"
    let stored = precision == .float32 ? "" : " \(precision)"
    let spread = ranks == 1 ? "" : " on \(ranks) ranks"
    return "\(variant)\(set) \(pass.rawValue) n=\(length)\(stored)\(spread)"
  }
}
