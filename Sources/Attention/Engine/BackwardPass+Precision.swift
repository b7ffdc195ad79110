import AttentionCore
import CKernels

extension Engine {
  /// Bytes of scratch that one backward tile needs.
  static func backwardScratchBytes(_ shape: AttentionShape, instructionSet: Int32) -> Int {
    let (headDim, valueDim) = (Int32(shape.headDim), Int32(shape.valueDim))
    return switch shape.precision {
    case .float32: attn_scratch_bytes(instructionSet, headDim, valueDim, 1)
    case .bfloat16: attn_backward16_bytes(instructionSet, headDim, valueDim)
    }
  }
}

/// The kernels of a backward tile, by the precision of the inputs. bfloat16 rows are widened when their turn comes; products
/// are those of float32.
extension BackwardPass {
  var isa: Int32 { context.instructionSet.code }

  /// One (batch, query head) as the kernels see it.
  enum Head {
    case float32(attn_head)
    case bfloat16(attn_head16)
  }

  func head(_ batch: Int, _ head: Int) -> Head {
    let keyHead = shape.keyHead(of: head)
    let query = query.head(batch, head), key = key.head(batch, keyHead), value = value.head(batch, keyHead)
    let strides = (Int64(self.query.rowStride), Int64(self.key.rowStride), Int64(self.value.rowStride))
    let (headDim, valueDim) = (Int32(shape.headDim), Int32(shape.valueDim))
    let (limit, offset) = (Int32(shape.validKeys(batch: batch)), Int32(shape.queryOffset))
    switch shape.precision {
    case .float32:
      return .float32(
        attn_head(
          query: query.assumingMemoryBound(to: Float.self), key: key.assumingMemoryBound(to: Float.self),
          value: value.assumingMemoryBound(to: Float.self), query_stride: strides.0, key_stride: strides.1,
          value_stride: strides.2, head_dim: headDim, value_dim: valueDim, key_limit: limit,
          query_offset: offset, scale: Float(scale)))
    case .bfloat16:
      return .bfloat16(
        attn_head16(
          query: query.assumingMemoryBound(to: UInt16.self), key: key.assumingMemoryBound(to: UInt16.self),
          value: value.assumingMemoryBound(to: UInt16.self), query_stride: strides.0, key_stride: strides.1,
          value_stride: strides.2, head_dim: headDim, value_dim: valueDim, key_limit: limit,
          query_offset: offset, scale: Float(scale)))
    }
  }

  /// Starts a tile.
  func begin(
    _ scratch: UnsafeMutableRawPointer, _ head: Head, _ gradient: inout attn_gradient, _ rows: attn_list
  ) {
    switch head {
    case .float32(var head): attn_backward_begin(isa, scratch, &head, &gradient, rows)
    case .bfloat16(var head): attn_backward16_begin(isa, scratch, &head, &gradient, rows)
    }
  }

  /// Asks for the keys, values and gradients of a run that comes after others.
  func ask(_ head: Head, _ gradient: inout attn_gradient, _ keys: attn_list) {
    switch head {
    case .float32(var head): attn_backward_prefetch(&head, &gradient, keys)
    case .bfloat16(var head): attn_backward16_prefetch(&head, &gradient, keys)
    }
  }

  /// Reads them in the order of memory.
  func stream(_ head: Head, _ gradient: inout attn_gradient, _ keys: attn_list) {
    switch head {
    case .float32(var head): attn_backward_stream(&head, &gradient, keys)
    case .bfloat16(var head): attn_backward16_stream(&head, &gradient, keys)
    }
  }

  /// Adds keys to a tile.
  func add(_ run: UnsafePointer<attn_run>, to scratch: UnsafeMutableRawPointer) {
    switch shape.precision {
    case .float32: attn_backward_run(isa, scratch, run)
    case .bfloat16: attn_backward16_run(isa, scratch, run)
    }
  }

  /// Computes the keys that wait for a block to be full.
  func flush(_ scratch: UnsafeMutableRawPointer) {
    switch shape.precision {
    case .float32: attn_backward_flush(isa, scratch)
    case .bfloat16: attn_backward16_flush(isa, scratch)
    }
  }

  /// Ends a tile: writes its query gradient to the rows of `target`, its own or the first ones, or adds it there.
  func end(
    _ scratch: UnsafeMutableRawPointer, _ target: UnsafeMutablePointer<Float>, stride: Int, inPlace: Bool,
    adds: Bool
  ) {
    let (inPlace, adds): (Int32, Int32) = (inPlace ? 1 : 0, adds ? 1 : 0)
    switch shape.precision {
    case .float32: attn_backward_end(isa, scratch, target, Int64(stride), inPlace, adds)
    case .bfloat16: attn_backward16_end(isa, scratch, target, Int64(stride), inPlace, adds)
    }
  }
}
