import AttentionCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

extension AdaptiveSpan {
  /// The softmax over keys that count at all, with log m in their scores.
  ///
  /// Which keys count whole and which lie on the ramp follows from the given z and stays so: differences of the output then see the
  /// ramp that the gradient sees, and not its kinks.
  public func definition(of inputs: Operands) throws -> any Definition {
    let declared = Self.operands(configuration)
    let planned = DefinitionInputs(inputs)[Self.spanName], shape = shape, configuration = configuration
    let plain = SoftmaxDefinition(shape: shape, operands: declared) { _, head, query, key in
      let offset = query + shape.queryOffset - key
      if shape.isCausal && offset < 0 { return 0 }
      let x = Int(offset.magnitude) - (configuration.current ? 0 : 1)
      guard x >= 0, x < configuration.span else { return 0 }
      // m > 0.
      return Double(x) < planned[head] * Double(configuration.span) + Double(configuration.ramp) ? 1 : 0
    }
    let term = SpanTerm(configuration: configuration, planned: planned, queryOffset: shape.queryOffset)
    return plain.adding(.own(term), reading: declared.filter { $0.name == Self.spanName })
  }

  /// `(z·S + R − x)/R`, not clamped.
  fileprivate static func ramp(_ configuration: Configuration, _ z: Double, _ offset: Int) -> Double {
    let x = Double(offset.magnitude) - (configuration.current ? 0 : 1), size = Double(configuration.ramp)
    return (z * Double(configuration.span) + (size - x)) / size
  }
}

/// log m of a pair.
private struct SpanTerm: PairTerm {
  let configuration: AdaptiveSpan.Configuration
  let planned: [Double]
  let queryOffset: Int

  func row(_ row: DefinitionRow, _ inputs: DefinitionInputs) -> any PairTermRow {
    Row(
      configuration: configuration, head: row.head, position: row.query + queryOffset,
      planned: planned[row.head], span: inputs.part(of: AdaptiveSpan.spanName, from: row.head, count: 1)[0])
  }

  struct Row: PairTermRow {
    let configuration: AdaptiveSpan.Configuration
    let head: Int, position: Int
    let planned: Double, span: Double

    private func isOnRamp(_ key: Int) -> Bool {
      AdaptiveSpan.ramp(configuration, planned, position - key) < 1
    }

    func value(key: Int) -> (sum: Double, magnitude: Double) {
      guard isOnRamp(key) else { return (0, 0) }
      let value = log(AdaptiveSpan.ramp(configuration, span, position - key))
      return (value, value.magnitude)
    }

    func addGradient(_ slopes: [PairSlope], into gradient: inout some DefinitionGradientCollector) {
      for pair in slopes where isOnRamp(pair.key) {
        let m = AdaptiveSpan.ramp(configuration, span, position - pair.key)
        let change = Double(configuration.span) / Double(configuration.ramp) / m
        let one = DefinitionVector([change], from: 0, count: 1)
        gradient.add(to: AdaptiveSpan.spanName, at: head, pair.slope, one)
        gradient.addMagnitude(to: AdaptiveSpan.spanName, at: head, pair.size, one)
      }
    }
  }
}
