import AttentionCore
import Basics
import CKernels
import Tensors

/// Random rotations and the buckets that they give: `bucket = argmax [xR ; −xR]`.
///
/// Shape `[heads, dim, hashes, r]`: `r = buckets/2` for one factor; `(b₁ + b₂)/2` for two, where the bucket is
/// `argmax₁ + b₁·argmax₂`. The same rotations give the same buckets on every instruction set and number of threads.
/// - Source: Andoni et al., 2015; Kitaev et al., 2020.
struct RandomRotations: Sendable {
  /// The rotations, every head's in the order in which its kernel reads them (`attn_hash_pack`).
  private let packed: Tensor
  let heads: Int, dim: Int, hashes: Int
  /// The columns of the first factor, and of the second; 0 when there is one.
  let firstHalf: Int, secondHalf: Int

  /// Bytes of the rotations.
  var byteCount: Int { packed.count * MemoryLayout<Float>.stride }

  /// Draws rotations, every head from its own key.
  init(heads: Int, dim: Int, hashes: Int, firstHalf: Int, secondHalf: Int, key: RandomKey) {
    let size = dim * hashes * (firstHalf + secondHalf)
    var values: [Float] = []
    values.reserveCapacity(heads * size)
    for head in 0..<heads {
      var generator = key(head).generator()
      for _ in 0..<size { values.append(Float(generator.normal())) }
    }
    self.init(
      values, shape: [heads, dim, hashes, firstHalf + secondHalf], firstHalf: firstHalf,
      secondHalf: secondHalf)
  }

  /// Given rotations `[heads, dim, hashes, firstHalf + secondHalf]`, row-major.
  init(_ values: [Float], shape: [Int], firstHalf: Int, secondHalf: Int) {
    let (heads, dim, hashes) = (shape[0], shape[1], shape[2])
    (self.heads, self.dim, self.hashes) = (heads, dim, hashes)
    self.firstHalf = firstHalf
    self.secondHalf = secondHalf
    let size = dim * hashes * (firstHalf + secondHalf)
    precondition(values.count == heads * size, "\(values.count) rotations, not \(heads * size)")
    // Without a ledger no allocation is refused; rotations belong to the plan, not to the workspace.
    var packed = (try? Tensor(uninitialized: [heads, size])) ?? RandomRotations.empty
    precondition(packed.count == values.count, "rotations of shape \(shape) could not be kept")
    packed.withUnsafeMutablePointer { target in
      values.withUnsafeBufferPointer { source in
        guard let source = source.baseAddress else { return }
        for head in 0..<heads {
          attn_hash_pack(
            target + head * size, source + head * size, Int32(dim), Int32(hashes), Int32(firstHalf),
            Int32(secondHalf))
        }
      }
    }
    self.packed = packed
  }

  private static let empty: Tensor = {
    do { return try Tensor(zeros: [0, 0]) } catch { preconditionFailure("\(error)") }
  }()

  /// The buckets of rows `[batch, rowHeads, length, dim]`, flat `[batch, heads, hashes, length]`: rotation head `h` hashes
  /// row head `h / (heads / rowHeads)`.
  /// - Throws: `CancellationRequested`, `MemoryLimitExceeded`.
  /// - Complexity: O(batch · heads · length · dim · hashes · r).
  func buckets(of rows: Tensor, in context: ExecutionContext) throws -> [Int32] {
    let (batch, length) = (rows.shape[0], rows.shape[2])
    let group = heads / rows.shape[1]
    // Hashes are made in float32, of the rows as they are stored.
    let rows = rows.precision == .float32 ? rows : try rows.converted(to: .float32, ledger: context.ledger)
    let block = 512
    let blocks = (length + block - 1) / block
    let scratchFloats = 64 * ((dim + 15) / 16 * 16)
    var buckets = [Int32](repeating: 0, count: batch * heads * hashes * length)
    let threads = context.threads
    var scratch = try Tensor(uninitialized: [threads, scratchFloats], ledger: context.ledger)
    try buckets.withUnsafeMutableBufferPointer { buffer throws in
      guard let base = buffer.baseAddress else { return }
      let target = SharedIndices(base: base)
      try scratch.withUnsafeMutablePointer { scratchBase throws in
        let region = Region(base: scratchBase)
        try rows.withReadRows { rows throws in
          try packed.withUnsafePointer { rotations throws in
            let rotations = Region(base: UnsafeMutablePointer(mutating: rotations))
            try Parallel.forEach(count: batch * heads * blocks, threads: threads) { index, worker in
              try context.checkCancellation()
              let first = index % blocks * block
              let (sequence, head) = (index / blocks / heads, index / blocks % heads)
              attn_hash_rows(
                context.instructionSet.code, rows.row(sequence, head / group, first), Int64(rows.rowStride),
                Int32(min(block, length - first)), Int32(dim),
                rotations.at(head * dim * hashes * (firstHalf + secondHalf)), Int32(hashes), Int32(firstHalf),
                Int32(secondHalf), target.base + (sequence * heads + head) * hashes * length + first,
                Int64(length), region.at(worker * scratchFloats))
            }
          }
        }
      }
    }
    return buckets
  }
}

/// Indices that workers write in disjoint parts; `@unchecked Sendable` for the reason given at `Rows`.
private struct SharedIndices: @unchecked Sendable {
  let base: UnsafeMutablePointer<Int32>
}
