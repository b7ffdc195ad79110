import AttentionCore
import CKernels
import Tensors

/// One (batch, query head) as the kernels see it, by the precision of q, k and v.
enum KernelHead {
  case float32(attn_head)
  case bfloat16(attn_head16)

  init(
    _ shape: AttentionShape, scale: Double, stages: PinnedStages, query: InputRows, key: InputRows,
    value: InputRows, batch: Int, head: Int, choices: ProcessorChoices
  ) {
    let keyHead = shape.keyHead(of: head)
    let q = query.head(batch, head), k = key.head(batch, keyHead), v = value.head(batch, keyHead)
    let strides = (Int64(query.rowStride), Int64(key.rowStride), Int64(value.rowStride))
    let (headDim, valueDim) = (Int32(shape.headDim), Int32(shape.valueDim))
    let (limit, offset) = (Int32(shape.validKeys(batch: batch)), Int32(shape.queryOffset))
    let near = Int32(choices.nearBlockBytes / MemoryLayout<Float>.stride)
    let ahead = Self.rowsAhead(shape, choices)
    switch shape.precision {
    case .float32:
      var own = attn_head(
        query: q.assumingMemoryBound(to: Float.self), key: k.assumingMemoryBound(to: Float.self),
        value: v.assumingMemoryBound(to: Float.self), query_stride: strides.0, key_stride: strides.1,
        value_stride: strides.2, head_dim: headDim, value_dim: valueDim, key_limit: limit,
        query_offset: offset, scale: Float(scale), softcap: Float(shape.softcap ?? 0), energy: nil,
        bias: nil, bucket: nil, sums: 0, near_floats: near, ahead: ahead)
      stages.describe(&own, number: head)
      self = .float32(own)
    case .bfloat16:
      self = .bfloat16(
        attn_head16(
          query: q.assumingMemoryBound(to: UInt16.self), key: k.assumingMemoryBound(to: UInt16.self),
          value: v.assumingMemoryBound(to: UInt16.self), query_stride: strides.0, key_stride: strides.1,
          value_stride: strides.2, head_dim: headDim, value_dim: valueDim, key_limit: limit,
          query_offset: offset, scale: Float(scale), softcap: Float(shape.softcap ?? 0),
          near_floats: near, ahead: ahead))
    }
  }

  /// How many rows further tiles of a few rows ask for keys and values, where those of all heads have more than `farBytes`.
  static func rowsAhead(_ shape: AttentionShape, _ choices: ProcessorChoices) -> Int32 {
    let numbers = shape.batch * shape.keyHeads * shape.keyLength * (shape.headDim + shape.valueDim)
    let isFar = choices.farBytes > 0 && numbers * shape.precision.byteCount > choices.farBytes
    // Within what the second-level cache holds of both, and more than the latency of memory takes.
    return isFar ? 64 : 0
  }
}
