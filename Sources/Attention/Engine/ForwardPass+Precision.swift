import AttentionCore
import CKernels
import Tensors

extension ExecutionContext {
  /// The number by which `CKernels` knows the instructions for bfloat16: AVX512-BF16 where the processor has it and it is the
  /// road taken, else the instruction set itself, which up-converts.
  var codeForBFloat16: Int32 {
    guard instructionSet.hasBFloat16Products else { return instructionSet.code }
    let road = bfloat16Road ?? BFloat16Choice.here.road
    return road == .products ? Int32(ATTN_AVX512_BF16) : instructionSet.code
  }
}

extension Engine {
  /// Bytes of scratch that one forward tile needs.
  static func forwardScratchBytes(_ shape: AttentionShape, in context: ExecutionContext) -> Int {
    let (headDim, valueDim) = (Int32(shape.headDim), Int32(shape.valueDim))
    return switch shape.precision {
    case .float32: attn_scratch_bytes(context.instructionSet.code, headDim, valueDim, 0)
    case .bfloat16: attn_forward16_bytes(context.codeForBFloat16, headDim, valueDim)
    }
  }

  /// Keys of a KV block, which the tiles of a group compute before they move on: what K and V, as they are multiplied, may fill
  /// of the second-level cache.
  static func kvBlockKeys(_ shape: AttentionShape, in context: ExecutionContext) -> Int {
    let bytes = upconverts(shape, in: context) ? MemoryLayout<Float>.stride : shape.precision.byteCount
    let fitting = context.choices.kvBlockBytes / (bytes * (shape.headDim + shape.valueDim))
    return max(1, fitting / Int(ATTN_BLOCK)) * Int(ATTN_BLOCK)
  }

  /// Whether rows of K and V become float32 before they are multiplied.
  static func upconverts(_ shape: AttentionShape, in context: ExecutionContext) -> Bool {
    shape.precision == .bfloat16 && context.codeForBFloat16 == context.instructionSet.code
  }

  /// The fewest keys of a run that its tile takes from shared rows: a block where tiles share KV blocks. Elsewhere what is left
  /// of a run waits for the next one and is up-converted twice, which longer runs repay.
  static func shortestSharedRun(_ plan: ForwardPlan) -> Int {
    plan.sharesKeyBlocks ? Int(ATTN_BLOCK) : 2 * Int(ATTN_BLOCK)
  }

  /// How many keys and values a worker up-converts once for all tiles that see them: a KV block, where some tile has a run of
  /// keys that is long enough; else 0.
  static func sharedKeys(_ plan: ForwardPlan, _ shape: AttentionShape, in context: ExecutionContext) -> Int {
    let shortest = shortestSharedRun(plan), keys = min(kvBlockKeys(shape, in: context), shape.keyLength)
    guard upconverts(shape, in: context), shape.queryLength > ATTN_GEMV_ROWS, keys >= shortest,
      plan.pattern.lists.contains(where: { list in
        list.segments.contains { $0.stride == 1 && $0.count >= shortest }
      })
    else { return 0 }
    return keys
  }

  /// Bytes of so many shared keys and values, in whole cache lines.
  static func sharedBytes(_ keys: Int, _ shape: AttentionShape, in context: ExecutionContext) -> Int {
    guard keys > 0 else { return 0 }
    return lines(
      attn_shared_bytes(
        context.instructionSet.code, Int32(shape.headDim), Int32(shape.valueDim), Int32(keys)))
  }
}

/// What the end of a tile finds in its rows of output and LSE, and combines its own with.
enum RowMerge: Sendable {
  /// Nothing.
  case nothing
  /// The result of earlier tiles.
  case rows
  /// An LSE alone, that of a key with the value 0; the output there has not been written.
  case logSum

  var code: Int32 {
    switch self {
    case .nothing: Int32(ATTN_MERGE_NOTHING)
    case .rows: Int32(ATTN_MERGE_ROWS)
    case .logSum: Int32(ATTN_MERGE_LSE)
    }
  }
}

/// Keys and values that a worker up-converts once for all its tiles.
struct SharedRows {
  /// Of one worker alone.
  let rows: OpaquePointer
}

/// Room for the shared rows of every worker.
struct SharedRooms: Sendable {
  private let region: Region
  private let floats: Int

  /// `nil` where a pass shares no rows.
  /// - Throws: `MemoryLimitExceeded`.
  init?(
    _ plan: ForwardPlan, _ shape: AttentionShape, workers: Int, in context: ExecutionContext
  ) throws(MemoryLimitExceeded) {
    let keys = Engine.sharedKeys(plan, shape, in: context)
    guard keys > 0 else { return nil }
    floats = Engine.sharedBytes(keys, shape, in: context) / MemoryLayout<Float>.stride
    region = try Region([workers, floats], in: context.ledger)
    for worker in 0..<workers {
      attn_shared_begin(
        region.scratch(worker * floats), Int32(keys), Int32(Engine.shortestSharedRun(plan)))
    }
  }

  func rows(of worker: Int) -> SharedRows {
    SharedRows(rows: OpaquePointer(region.scratch(worker * floats)))
  }
}

/// The kernels of a forward tile, by the precision of the inputs.
extension ForwardPass {
  /// Starts a tile of a (batch, query head).
  func begin(_ scratch: UnsafeMutableRawPointer, _ batch: Int, _ head: Int, _ rows: attn_list) {
    switch KernelHead(
      shape, scale: scale, stages: stages, query: query, key: key, value: value, batch: batch, head: head,
      choices: context.choices)
    {
    case .float32(var head): attn_forward_begin(context.instructionSet.code, scratch, &head, rows)
    case .bfloat16(var head): attn_forward16_begin(context.codeForBFloat16, scratch, &head, rows)
    }
  }

  /// Adds keys to a tile. `shared`: rows that a worker up-converts once for its tiles, if it does.
  func add(
    _ run: UnsafePointer<attn_run>, to scratch: UnsafeMutableRawPointer, shared: SharedRows?
  ) {
    switch shape.precision {
    case .float32: attn_forward_run(context.instructionSet.code, scratch, run)
    case .bfloat16: attn_forward16_run(context.codeForBFloat16, scratch, run, shared?.rows)
    }
  }

  /// Ends a tile: writes output and LSE, in place or to rows of their own, merged with what is there or not.
  func end(
    _ scratch: UnsafeMutableRawPointer, output: UnsafeMutablePointer<Float>, stride: Int,
    lse: UnsafeMutablePointer<Float>, inPlace: Bool, merge: RowMerge
  ) {
    let (inPlace, merge): (Int32, Int32) = (inPlace ? 1 : 0, merge.code)
    switch shape.precision {
    case .float32:
      attn_forward_end(context.instructionSet.code, scratch, output, Int64(stride), lse, inPlace, merge)
    case .bfloat16:
      attn_forward16_end(context.codeForBFloat16, scratch, output, Int64(stride), lse, inPlace, merge)
    }
  }
}
