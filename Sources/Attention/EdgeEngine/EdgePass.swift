import AttentionCore
import Basics
import CKernels
import Tensors

/// The score of an edge j → i.
enum EdgeScore: Sendable {
  /// `factor · q·k`.
  case dot
  /// `factor · Σ_t a_t · leaky(q_t + k_t)`, a `[queryHeads, headDim]`.
  case leakySum(Tensor, slope: Double)
  /// `factor · Σ_t a_t · tanh(q_t + k_t)`.
  case tanhSum(Tensor)
  /// `factor · leaky(source·k + target·q)`, both `[queryHeads, headDim]`.
  case nodes(source: Tensor, target: Tensor, slope: Double)

  var kind: Int32 {
    switch self {
    case .dot: Int32(ATTN_EDGE_DOT)
    case .leakySum: Int32(ATTN_EDGE_LEAKY)
    case .tanhSum: Int32(ATTN_EDGE_TANH)
    case .nodes: Int32(ATTN_EDGE_NODES)
    }
  }

  var slope: Float {
    switch self {
    case .leakySum(_, let slope), .nodes(_, _, let slope): Float(slope)
    case .dot, .tanhSum: 0
    }
  }
}

/// Softmax attention over the edges of a graph.
///
/// `o_i = Σ_j p_ij m_j` over the edges j → i, `p_ij = exp(s_ij) / Σ_j exp(s_ij)`; m is v or k. Forward walks the edges by target.
/// Backward walks them by target (weights, `∂L/∂s`, `∂L/∂q`), keeps two numbers an edge of the head that it works on, and walks
/// them by source (`∂L/∂k`, `∂L/∂m`). No two workers write the same row, and what all edges add to (a) is summed part by part
/// in an order that the graph decides, so the bits are the same for any number of threads.
/// - Complexity: O(edges · (headDim + messageDim)) a head and pass; beside inputs and results, one number for the most edges of
///   a target and thread forward, two numbers an edge backward.
struct EdgePass: Sendable {
  let shape: AttentionShape
  let rows: EdgeRows
  let score: EdgeScore
  let scale: Double
  /// Whether the message is k; else v.
  let sendsKey: Bool

  /// The last axis of the output.
  var messageDim: Int { sendsKey ? shape.headDim : shape.valueDim }

  /// Output and LSE.
  /// - Throws: `MemoryLimitExceeded`, `CancellationRequested`.
  func forward(
    _ inputs: Operands, in context: ExecutionContext
  ) throws -> (output: Tensor, lse: Tensor) {
    var output = try context.empty(shape.outputShape), lse = try context.empty(shape.lseShape)
    let units = shape.batch * shape.queryHeads * rows.targetParts.count
    let threads = min(context.threads, max(1, units))
    var scratch = try context.empty([threads, 1, max(1, rows.mostSources)])
    let heads = try heads(of: inputs, in: context)
    let outputRows = output.rowsForWriting(), lseRows = lse.rowsForWriting()
    let scratchRows = scratch.rowsForWriting()
    try Parallel.forEach(count: units, threads: threads) { index, worker in
      try context.checkCancellation()
      forward(
        index, heads, context.instructionSet.code, scratch: scratchRows.row(worker, 0, 0), outputRows, lseRows
      )
    }
    return (output, lse)
  }

  /// One part of the targets of one head.
  private func forward(
    _ unit: Int, _ heads: EdgeHeads, _ isa: Int32, scratch: UnsafeMutablePointer<Float>, _ output: Rows,
    _ lse: Rows
  ) {
    let (index, part) = unit.quotientAndRemainder(dividingBy: rows.targetParts.count)
    let (batch, head) = index.quotientAndRemainder(dividingBy: shape.queryHeads)
    var edges = heads.edges(self, batch, head)
    rows.sources.withUnsafeBufferPointer { sources in
      for target in rows.targetParts[part] {
        let own = rows.edges(to: target)
        lse.row(batch, head, target)[0] = attn_edges_forward(
          isa, &edges, Int64(target), sources.at(own.lowerBound), Int32(count(own, to: target, batch)),
          scratch, output.row(batch, head, target))
      }
    }
  }

  /// Edges of a target that count: those from padding stand behind the others.
  func count(_ edges: Range<Int>, to target: Int, _ batch: Int) -> Int {
    let valid = shape.validKeys(batch: batch)
    return valid >= shape.keyLength ? edges.count : rows.count(to: target, among: valid)
  }
}

extension UnsafeBufferPointer<Int32> {
  /// From a place on; any address where nothing is to be read.
  func at(_ place: Int) -> UnsafePointer<Int32> {
    baseAddress.map { $0 + place } ?? UnsafePointer(bitPattern: 64).unsafelyUnwrapped
  }
}
