import AttentionCore
import Settings
import Tensors

/// What the attention of one layer reads besides q, k and v.
package struct LayerOperands: Sendable {
  /// Its own operands, as declared.
  package let declared: [Operand]
  /// How the layer is wired.
  package let wiring: LayerWiring
  /// Whether the variant is a recurrence.
  package var isRecurrent = false
  /// The last position whose row reads an operand; `nil`: there is no last one.
  package let lastReader: @Sendable (Operand.Name) -> Int?

  /// Nothing.
  package static let none = LayerOperands(declared: [], wiring: LayerWiring()) { _ in nil }
}

extension Catalog {
  /// What a layer with this attention reads besides q, k and v.
  /// - Throws: `ConfigurationError`.
  package func operands(of layer: LayerAttention) throws(ConfigurationError) -> LayerOperands {
    func open<V: AttentionVariant>(_ type: V.Type) throws(ConfigurationError) -> LayerOperands {
      let configuration = try V.Configuration(settings: layer.settings)
      let own = V.operands(configuration).filter { !$0.isStandard }
      let isRecurrent = type is any RecurrentVariant.Type
      return LayerOperands(declared: own, wiring: configuration.wiring, isRecurrent: isRecurrent) {
        configuration.lastReader(of: $0)
      }
    }
    let type = try self.type(of: layer.id)
    return try open(type)
  }
}

/// Operands of one layer that one product makes: those of rows of q, or those of rows of k and v.
///
/// `y = x_R Wᵀ + b` for the rows R that some row of q reads; rows that nobody reads are 0. Weights are named
/// `{layer}.{operand}.weight`, `[heads·width, model width]`. An operand declared like q, k or v starts as a copy of the layer's
/// own map and gets the positions (RoPE, ALiBi) that q or k get.
/// - Complexity: 2·rows·weights operations forward, twice that backward.
package struct ProjectedOperands: Sendable {
  /// One operand and its columns.
  package struct Part: Sendable {
    package let operand: Operand
    package let heads: Int, width: Int, column: Int
    /// Whether RoPE turns it.
    package let isRotated: Bool
    /// What ALiBi adds an element to, as to q, as to k, or 0.
    package let alibi: Extension?
  }
  package enum Extension: Sendable { case query, key, zero }

  package let parts: [Part]
  package let linear: Linear
  /// Whether they have rows of q.
  package let isOfQueries: Bool
  /// Whether they pass no gradient on to x.
  package var isDetached: Bool { parts.allSatisfy(\.operand.isDetached) }

  /// The way back: adds what the gradients of the operands give to that of x.
  package typealias Pullback = (_ gradient: Operands, _ dx: inout Tensor) throws -> Void

  /// Declares the parameters of the operands that have rows of q, or of k and v; `nil`: there are none.
  package init?(
    _ operands: [Operand], ofQueries: Bool, layer: String, _ configuration: LayerConfiguration,
    copying input: Linear, in layout: inout ParameterLayout
  ) {
    let dim = configuration.headDim
    let own = configuration.heads * dim, keys = configuration.effectiveKeyHeads * dim
    let hasALiBi = configuration.position == .alibi
    var parts: [Part] = []
    var column = 0
    var names: [(name: String, output: Int, row: Int?)] = []
    for operand in operands {
      guard case .projected(let like) = operand.source,
        operand.axes.contains(ofQueries ? .queries : .keys)
      else { continue }
      let heads =
        operand.axes.contains(.queryHeads)
        ? configuration.heads : operand.axes.contains(.keyHeads) ? configuration.effectiveKeyHeads : 1
      let width = if case .fixed(let count)? = operand.axes.last { count } else { dim }
      let turns = like == .query || like == .key
      let extended: Extension? =
        !hasALiBi || operand.axes.last != .headDim
        ? nil : like == .query ? .query : like == .key ? .key : .zero
      parts.append(
        Part(
          operand: operand, heads: heads, width: width, column: column, isRotated: turns,
          alibi: extended))
      let first: Int? = like == .query ? 0 : like == .key ? own : like == .value ? own + keys : nil
      names.append(("\(layer).\(operand.name)", heads * width, first))
      column += heads * width
    }
    guard !parts.isEmpty else { return nil }
    let detached = parts.count { $0.operand.isDetached }
    precondition(
      detached == 0 || detached == parts.count, "one product makes operands with and without a way back")
    self.parts = parts
    isOfQueries = ofQueries
    linear = Linear(
      names, from: configuration.width, bias: configuration.hasInputBias, copying: input, in: &layout)
  }

  /// The rows of x that a plan for whole sequences reads; `[]`: none is read, `nil`: all.
  package func rows(of plan: any AttentionVariant) -> [Int32]? {
    var union: Set<Int> = []
    for part in parts {
      guard let rows = plan.rows(of: part.operand.name) else { return nil }
      union.formUnion(rows)
    }
    let places = union.sorted(), length = isOfQueries ? plan.shape.queryLength : plan.shape.keyLength
    return (0..<plan.shape.batch).flatMap { sequence in places.map { Int32(sequence * length + $0) } }
  }

  /// Operations of a forward pass of a plan.
  package func operations(_ plan: any AttentionVariant) -> Double {
    let length = isOfQueries ? plan.shape.queryLength : plan.shape.keyLength
    return 2 * Double(rows(of: plan)?.count ?? plan.shape.batch * length) * Double(linear.weight.count)
  }

  /// The product of some rows of x, in their places among all, and the way back.
  /// - Parameter rows: those that are projected; `nil`: all.
  package func product(
    _ x: Tensor, rows: [Int32]?, rotary: RotaryTable?, _ run: LayerRun
  ) throws -> (product: Tensor, pullback: Pullback) {
    let source = try rows.map { try run.context.lookUp($0, in: x) } ?? x
    let y = try run.context.spread(linear.product(source, run), at: rows, of: x.shape[0])
    return (
      y,
      { gradient, dx in
        try addGradient(of: source, rows: rows, gradient, rotary: rotary, to: &dx, run)
      }
    )
  }

  /// One operand of a product.
  package func operand(
    _ part: Part, of product: Tensor, layer: AttentionLayer, batch: Int, rotary: RotaryTable?,
    first: Int = 0, _ run: LayerRun
  ) throws -> Tensor {
    var heads = try run.context.splitHeads(
      product, column: part.column, batch: batch, heads: part.heads, dim: part.width,
      rotary: part.isRotated ? rotary : nil)
    switch part.alibi {
    case .query?: heads = try layer.extended(heads, isQuery: true, first: first, run)
    case .key?: heads = try layer.extended(heads, isQuery: false, first: first, run)
    case .zero?: heads = try run.context.extendHeads(heads) { _, _ in 0 }
    case nil: break
    }
    return part.operand.axes.count == 4 ? heads : heads.reshaped([batch, heads.shape[2], heads.shape[3]])
  }

  /// Adds the gradient of the projected rows of x to `dx`.
  private func addGradient(
    of source: Tensor, rows: [Int32]?, _ gradient: Operands, rotary: RotaryTable?, to dx: inout Tensor,
    _ run: LayerRun
  ) throws {
    let context = run.context
    var dProduct = try context.empty([dx.shape[0], linear.weight.shape[0]])
    for part in parts {
      guard var d = gradient[part.operand.name] else {
        preconditionFailure("no gradient of \(part.operand.name)")
      }
      if d.rank == 3 { d = d.reshaped([d.shape[0], 1, d.shape[1], d.shape[2]]) }
      context.mergeHeads(
        d.narrowed(axis: 3, to: 0..<part.width), into: &dProduct, column: part.column,
        rotary: part.isRotated ? rotary : nil, inverse: part.isRotated)
    }
    let dRows = try rows.map { try context.lookUp($0, in: dProduct) } ?? dProduct
    let d = try linear.backward(dRows, x: source, run)
    if isDetached { return }
    guard let rows else { return context.accumulate(d, into: &dx) }
    context.accumulateRows(d, at: rows, into: &dx, at: 0)
  }
}

extension ExecutionContext {
  /// Rows in their places among `count`, zeros elsewhere; `nil`: they are all there already.
  package func spread(_ x: Tensor, at rows: [Int32]?, of count: Int) throws -> Tensor {
    guard let rows else { return x }
    var whole = try zeros([count, x.shape[1]])
    accumulateRows(x, at: rows, into: &whole, at: 0)
    return whole
  }
}

extension LayerConfiguration {
  /// The extents of an operand that a layer learns.
  /// - Parameter headDim: the width of a head.
  func extents(of operand: Operand, headDim: Int) -> [Int] {
    operand.axes.map { axis in
      switch axis {
      case .queryHeads: heads
      case .keyHeads: effectiveKeyHeads
      case .headDim, .valueDim: headDim
      case .width: heads * headDim
      case .fixed(let count): count
      case .batch, .queries, .keys, .any:
        preconditionFailure("\(operand.name) is no parameter: an input decides its size")
      }
    }
  }
}
