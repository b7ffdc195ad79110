import AttentionCore
import Tensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension NSA {
  /// Three softmaxes with gates. The selected blocks are part of the definition, since two computations of a near tie must not disagree; a
  /// test of its own compares them with sorted sums of weights in Double.
  public func definition(of inputs: Operands) throws -> any Definition {
    let context = ExecutionContext(threads: 1), shape = shape, configuration = configuration
    guard let weights = inputs[.compressKey] else { preconditionFailure("nsa reads compress_key") }
    let choice = try chosen(inputs.query, compressed.make(inputs.key, weights, in: context), in: context)
    let selected = SoftmaxDefinition(shape: shape) { batch, head, query, key in
      guard !shape.isFuture(query: query, key: key) else { return 0 }
      return choice.contains(key / configuration.blockSize, batch, shape.keyHead(of: head), query) ? 1 : 0
    }
    let local = SoftmaxDefinition(shape: shape) { _, _, query, key in
      let distance = query + shape.queryOffset - key
      return distance >= 0 && distance < configuration.window ? 1 : 0
    }
    let own = compressed.attending, length = configuration.compressBlock,
      stride = configuration.compressStride
    let short = SoftmaxDefinition(shape: own) { _, _, query, block in
      block * stride + length - 1 <= query + shape.queryOffset ? 1 : 0
    }
    return GatedDefinition(shape: shape, blocks: compressed, short: short, others: [selected, local])
  }
}

/// `o = σ(g_0) o_0 + Σ_b σ(g_b) o_b`, o_0 of a softmax over rows that are made of keys and of values.
struct GatedDefinition: Definition {
  let shape: AttentionShape
  let blocks: CompressedBlocks
  let short: SoftmaxDefinition
  let others: [SoftmaxDefinition]

  private var made: [(name: Operand.Name, weights: Operand.Name, dim: Int)] {
    [(.key, .compressKey, shape.headDim), (.value, .compressValue, shape.valueDim)]
  }

  /// The place of a block's row among those that are made, of the row of k or v at a place in it, and of the weights of that place.
  private func forEachPlace(_ dim: Int, _ body: (_ block: Int, _ row: Int, _ weights: Int) -> Void) {
    for head in 0..<shape.batch * shape.keyHeads {
      let valid = shape.validKeys(batch: head / shape.keyHeads)
      for block in 0..<max(1, blocks.count) where block * blocks.stride + blocks.length <= valid {
        for place in 0..<blocks.length {
          body(
            (head * max(1, blocks.count) + block) * dim,
            (head * shape.keyLength + block * blocks.stride + place) * dim,
            (head % shape.keyHeads * blocks.length + place) * dim)
        }
      }
    }
  }

  /// The inputs with blocks for keys and values; or with the sums of absolute terms of these, and |q|.
  private func shortened(_ inputs: DefinitionInputs, absolute: Bool = false) -> DefinitionInputs {
    var result = inputs
    for (name, weights, dim) in made {
      let (x, w) = (inputs[name], inputs[weights])
      var sums = [Double](repeating: 0, count: shape.batch * shape.keyHeads * max(1, blocks.count) * dim)
      forEachPlace(dim) { block, row, place in
        for t in 0..<dim {
          let term = w[place + t] * x[row + t]
          sums[block + t] += absolute ? term.magnitude : term
        }
      }
      result[name] = sums
    }
    if absolute { result[.query] = inputs[.query].map(\.magnitude) }
    return result
  }

  private func gates(_ row: DefinitionRow, _ inputs: DefinitionInputs) -> (place: Int, factors: [Double]) {
    let place =
      ((row.batch * shape.queryHeads + row.head) * shape.queryLength + row.query) * (others.count + 1)
    let g = inputs.part(of: NSA.gates.name, from: place, count: others.count + 1)
    return (place, (0...others.count).map { 1 / (1 + exp(-g[$0])) })
  }

  /// Every branch's own result; terms of made rows have their sums of absolute values.
  private func results(_ inputs: DefinitionInputs, _ rows: [DefinitionRow]) -> [DefinitionResult] {
    let made = shortened(inputs)
    var first = short.forward(made, rows: rows), terms = made
    let sizes = shortened(inputs, absolute: true)
    terms[.value] = sizes[.value]
    first.outputMagnitude = short.forward(terms, rows: rows).outputMagnitude
    first.scoreMagnitude = short.forward(sizes, rows: rows).scoreMagnitude
    return [first] + others.map { $0.forward(inputs, rows: rows) }
  }

  func forward(_ inputs: DefinitionInputs, rows: [DefinitionRow]) -> DefinitionResult {
    let dim = shape.valueDim, zeros = [Double](repeating: 0, count: rows.count * dim)
    var result = DefinitionResult(
      output: zeros, outputMagnitude: zeros, lse: [], scoreMagnitude: 0, mostKeys: 0,
      largestScores: [Double](repeating: 0, count: rows.count))
    for (branch, part) in results(inputs, rows).enumerated() {
      result.scoreMagnitude = max(result.scoreMagnitude, part.scoreMagnitude)
      result.mostKeys = max(result.mostKeys, part.mostKeys + (branch == 0 ? blocks.length : 0))
      for (index, row) in rows.enumerated() {
        let factor = gates(row, inputs).factors[branch]
        result.largestScores[index] = max(result.largestScores[index], part.largestScores[index])
        for t in index * dim..<(index + 1) * dim {
          result.output[t] += factor * part.output[t]
          result.outputMagnitude[t] += factor * part.outputMagnitude[t]
        }
      }
    }
    return result
  }

  func backward(
    _ outputGradient: [Double], _ inputs: DefinitionInputs, rows: [DefinitionRow],
    into gradient: inout some DefinitionGradientCollector
  ) {
    let dim = shape.valueDim
    for (branch, part) in results(inputs, rows).enumerated() {
      var own = outputGradient
      for (index, row) in rows.enumerated() {
        let (place, factors) = gates(row, inputs), factor = factors[branch]
        var sum = 0.0, size = 0.0
        for t in index * dim..<(index + 1) * dim {
          sum += outputGradient[t] * part.output[t]
          size += outputGradient[t].magnitude * part.outputMagnitude[t]
          own[t] *= factor
        }
        let one = DefinitionVector([1], from: 0, count: 1), slope = factor * (1 - factor)
        gradient.add(to: NSA.gates.name, at: place + branch, slope * sum, one)
        gradient.addMagnitude(to: NSA.gates.name, at: place + branch, slope * size, one)
      }
      guard branch == 0 else {
        others[branch - 1].backward(own, inputs, rows: rows, into: &gradient)
        continue
      }
      var collected = MadeRows(
        target: gradient, sizes: made.map { inputs.shortenedCount($0.dim, shape, blocks) })
      short.backward(own, shortened(inputs), rows: rows, into: &collected)
      gradient = collected.target
      spread(collected, inputs, into: &gradient)
    }
  }

  /// Passes the gradients of made rows on to what they are made of.
  private func spread(
    _ collected: MadeRows<some DefinitionGradientCollector>, _ inputs: DefinitionInputs,
    into gradient: inout some DefinitionGradientCollector
  ) {
    for (index, (name, weights, dim)) in made.enumerated() {
      let (x, w) = (inputs[name], inputs[weights])
      let (d, sizes) = (collected.values[index], collected.magnitudes[index])
      forEachPlace(dim) { block, row, place in
        func add(_ operand: Operand.Name, _ start: Int, _ other: [Double], _ from: Int) {
          let terms = (0..<dim).map { d[block + $0] * other[from + $0] }
          let bounds = (0..<dim).map { sizes[block + $0] * other[from + $0].magnitude }
          gradient.add(to: operand, at: start, 1, DefinitionVector(terms, from: 0, count: dim))
          gradient.addMagnitude(to: operand, at: start, 1, DefinitionVector(bounds, from: 0, count: dim))
        }
        add(name, row, w, place)
        add(weights, place, x, row)
      }
    }
  }

  func hasRowwiseGradient(of operand: Operand.Name) -> Bool {
    operand == .query || operand == NSA.gates.name
  }

  func budget(_ result: DefinitionResult) -> ErrorBudget {
    ErrorBudget(shape: shape, scoreMagnitude: result.scoreMagnitude, mostKeys: result.mostKeys)
  }
}

/// Keeps the gradients of keys and values apart; all others go where they belong.
private struct MadeRows<Target: DefinitionGradientCollector>: DefinitionGradientCollector {
  var target: Target
  /// Of keys, then of values.
  var values: [[Double]], magnitudes: [[Double]]

  init(target: Target, sizes: [Int]) {
    self.target = target
    values = sizes.map { [Double](repeating: 0, count: $0) }
    magnitudes = values
  }

  private func index(_ operand: Operand.Name) -> Int? { operand == .key ? 0 : operand == .value ? 1 : nil }

  mutating func add(to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector) {
    guard let index = index(operand) else { return target.add(to: operand, at: start, factor, source) }
    for t in 0..<source.count { values[index][start + t] += factor * source[t] }
  }

  mutating func addMagnitude(
    to operand: Operand.Name, at start: Int, _ factor: Double, _ source: DefinitionVector
  ) {
    guard let index = index(operand) else {
      return target.addMagnitude(to: operand, at: start, factor, source)
    }
    for t in 0..<source.count { magnitudes[index][start + t] += factor.magnitude * source[t].magnitude }
  }
}

extension DefinitionInputs {
  /// Elements of the blocks that are made of keys or values.
  fileprivate func shortenedCount(_ dim: Int, _ shape: AttentionShape, _ blocks: CompressedBlocks) -> Int {
    shape.batch * shape.keyHeads * max(1, blocks.count) * dim
  }
}
