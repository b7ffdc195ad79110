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

  /// Adds keys to a tile.
  func add(_ run: UnsafePointer<attn_run>, to scratch: UnsafeMutableRawPointer) {
    switch shape.precision {
    case .float32: attn_forward_run(context.instructionSet.code, scratch, run)
    case .bfloat16: attn_forward16_run(context.codeForBFloat16, scratch, run)
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
