import AttentionCore
import Settings

extension Catalog {
  /// The empty state of a layer's attention; `nil` when nothing that it computed for a row can be kept.
  /// - Parameters:
  ///   - layer: the attention with its settings.
  ///   - limit: the most rows that are held; `nil`: as many as the variant sees.
  /// - Throws: `ConfigurationError`.
  package func state(of layer: LayerAttention, limit: Int? = nil) throws(ConfigurationError) -> LayerState? {
    func open<V: AttentionVariant>(_ type: V.Type) throws(ConfigurationError) -> LayerState? {
      let configuration = try V.Configuration(settings: layer.settings)
      if type is any RecurrentVariant.Type { return .recurrent }
      let keepsNothing = configuration.evictableKeys(of: 0) == nil
      return keepsNothing ? nil : .rows(KeyValueState(configuration, limit: limit))
    }
    let type = try self.type(of: layer.id)
    return try open(type)
  }

  /// Whether a layer's attention goes by distances alone, and makes all that it reads of the rows that it sees: then a past may
  /// stand before a sequence.
  /// - Throws: `ConfigurationError`.
  package func takesPast(_ layer: LayerAttention) throws(ConfigurationError) -> Bool {
    func open<V: AttentionVariant>(_ type: V.Type) throws(ConfigurationError) -> Bool {
      let configuration = try V.Configuration(settings: layer.settings)
      let isPlain = V.operands(configuration).allSatisfy { operand in
        if case .learned = operand.source { true } else { operand.isStandard || operand.source == .uniform }
      }
      return configuration.goesByDistance && isPlain && configuration.wiring.hasOwnRows
    }
    let type = try self.type(of: layer.id)
    return try open(type)
  }

  /// Whether a layer's attention reads nothing that is as wide as a head beside q, k and v: then keys may be latents, which are
  /// wider, and values a part of them.
  /// - Throws: `ConfigurationError`.
  package func takesLatent(_ layer: LayerAttention) throws(ConfigurationError) -> Bool {
    let operands = try operands(of: layer), wiring = operands.wiring
    let isPlain = operands.declared.allSatisfy { operand in
      switch operand.source {
      case .learned: operand.axes.allSatisfy { if case .fixed = $0 { true } else { $0 == .queryHeads } }
      case .given, .uniform: operand.isOptional
      case .projected, .edges: false
      }
    }
    // A recurrence keeps no rows that could be latents.
    let keepsRows = try !(type(of: layer.id) is any RecurrentVariant.Type)
    return isPlain && keepsRows && wiring.hasOwnRows && wiring.output == .projected
  }

  /// Settings for a shape that may be shorter than the one that they were made for.
  /// - Throws: `ConfigurationError`.
  func fitted(
    _ id: String, settings: [String: ParameterValue], to shape: AttentionShape
  ) throws(ConfigurationError) -> [String: ParameterValue] {
    try type(of: id).fitted(settings, to: shape)
  }
}

/// The empty state of a layer's attention.
package enum LayerState {
  /// Keys and values.
  case rows(KeyValueState)
  /// The state of a recurrence, which the first rows make.
  case recurrent
}
