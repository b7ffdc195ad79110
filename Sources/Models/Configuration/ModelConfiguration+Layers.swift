import AttentionCore
import Layers
import Settings

extension ModelConfiguration {
  /// Whether a layer can make all that its attention reads.
  /// - Throws: `ConfigurationError`.
  func checkOperands(in catalog: Catalog) throws(ConfigurationError) {
    try checkMixing(in: catalog)
    for layer in try layerAttention() {
      let operands = try catalog.operands(of: layer)
      guard !operands.wiring.queryIsKey || self.layer.effectiveKeyHeads == self.layer.heads else {
        throw ConfigurationError(
          field: "key_heads", value: "\(self.layer.keyHeads)",
          allowed: "0 with \(layer.id), where one map makes q and k")
      }
      if self.layer.position == .alibi, try catalog.type(of: layer.id) is any RecurrentVariant.Type {
        throw ConfigurationError(
          field: "position", value: self.layer.position.rawValue,
          allowed: "others than alibi with \(layer.id), which has no scores")
      }
      for operand in operands.declared {
        if operand.source == .given, !operand.isOptional {
          throw ConfigurationError(
            field: "attention", value: layer.id,
            allowed: "variants whose operands a layer can make; \(operand.name) is data")
        }
        if case .learned = operand.source, self.layer.position == .alibi, operand.axes.contains(.headDim) {
          throw ConfigurationError(
            field: "position", value: self.layer.position.rawValue,
            allowed: "others than alibi with \(layer.id), whose \(operand.name) is as wide as a head")
        }
      }
    }
  }

  /// Whether there is a layer whose q, k and v are convolved, and whose outputs are gated.
  private func checkMixing(in catalog: Catalog) throws(ConfigurationError) {
    let given = [
      ("recurrent_heads", "\(layer.recurrentHeads)", "0", layer.recurrentHeads > 0),
      ("recurrent_groups", "\(layer.recurrentGroups)", "0", layer.recurrentGroups > 0),
      ("recurrent_key_width", "\(layer.recurrentKeyWidth)", "0", layer.recurrentKeyWidth > 0),
      ("recurrent_value_width", "\(layer.recurrentValueWidth)", "0", layer.recurrentValueWidth > 0),
      ("short_convolution", "\(layer.shortConvolution)", "0", layer.shortConvolution > 0),
      ("output_gate", layer.outputGate.rawValue, "none", layer.outputGate != .none),
    ]
    var hasRecurrence = false
    for attention in try layerAttention() where try catalog.operands(of: attention).isRecurrent {
      hasRecurrence = true
    }
    for (field, value, none, isGiven) in given where isGiven {
      guard hasRecurrence else {
        throw ConfigurationError(
          field: field, value: value, allowed: "\(none) unless the attention of a layer is a recurrence")
      }
      guard layer.stored == 0 else {
        throw ConfigurationError(
          field: field, value: value, allowed: "\(none) with stored, which looks up keys of rows as they are")
      }
    }
  }

  /// The same model with other attention in its layers. A setting that older files gave a whole model, such as which
  /// projections there are, stays as the model has it in layers of the same variant that do not give it.
  /// - Throws: `ConfigurationError`.
  public func replacingAttention(_ attention: String, in catalog: Catalog) throws(ConfigurationError)
    -> ModelConfiguration
  {
    let own = try layerAttention()
    var layers = try LayerAttention.parse(attention)
    var isChanged = false
    for index in layers.indices {
      for (_, parameter) in try catalog.modelSettings(of: layers[index].id)
      where layers[index].settings[parameter] == nil {
        let kept = own.lazy.filter { $0.id == layers[index].id }.compactMap { $0.settings[parameter] }.first
        guard let kept else { continue }
        layers[index].settings[parameter] = kept
        isChanged = true
      }
    }
    var changed = self
    changed.attention = isChanged ? layers.map(\.description).joined(separator: ", ") : attention
    return changed
  }

  /// A configuration from named values, among them settings of whole models that variants have taken over: they go to the
  /// layers of these variants.
  /// - Throws: `ConfigurationError`.
  public init(settings: [String: ParameterValue], in catalog: Catalog) throws(ConfigurationError) {
    try self.init(settings: catalog.withoutFormerSettings(settings))
  }
}

extension Catalog {
  /// Checks an id and settings against a shape without building a plan.
  /// - Throws: `ConfigurationError`.
  func check(
    _ id: String, settings: [String: ParameterValue], for shape: AttentionShape
  ) throws(ConfigurationError) {
    func open<V: AttentionVariant>(_ type: V.Type) throws(ConfigurationError) {
      try V.Configuration(settings: settings).validate(for: shape)
    }
    let type = try self.type(of: id)
    try open(type)
  }

  /// The settings of whole models that a variant has taken over, with the parameters that they are now.
  /// - Throws: `ConfigurationError`.
  func modelSettings(of id: String) throws(ConfigurationError) -> [(former: String, parameter: String)] {
    try type(of: id).formerNames.compactMap { name in
      if case .modelSetting(let former, let parameter) = name { (former, parameter) } else { nil }
    }
  }

  /// Names of settings that whole models had and variants have now.
  public var formerModelSettings: Set<String> {
    Set(
      types.flatMap { type in
        type.formerNames.compactMap { name in
          if case .modelSetting(let former, _) = name { former } else { nil }
        }
      })
  }

  /// Settings of a model in which those that variants have taken over stand in the line of attention.
  /// - Throws: `ConfigurationError` when no layer has such a variant.
  func withoutFormerSettings(
    _ settings: [String: ParameterValue]
  ) throws(ConfigurationError) -> [String: ParameterValue] {
    var result = settings
    for former in formerModelSettings.sorted() {
      guard let name = result.keys.first(where: { Spelling.today($0) == former }),
        let value = result.removeValue(forKey: name)
      else { continue }
      let line = result["attention"].map { "\($0)" } ?? ModelConfiguration().attention
      var layers = try LayerAttention.parse(line)
      var takers: Set<String> = []
      var standard: [ParameterValue] = []
      for type in types {
        for case .modelSetting(former, let parameter) in type.formerNames {
          takers.insert(type.card.id)
          // Checked whether or not a layer has the variant.
          standard.append(try type.standardValue(of: parameter, instead: value))
          for index in layers.indices where layers[index].id == type.card.id {
            if layers[index].settings[parameter] == nil { layers[index].settings[parameter] = value }
          }
        }
      }
      if standard.allSatisfy({ $0 == value }) { continue }
      guard layers.contains(where: { takers.contains($0.id) }) else {
        throw ConfigurationError(
          field: former, value: "\(value)",
          allowed: "\(standard.first.map { "\($0)" } ?? "nothing") unless a layer's attention is "
            + takers.sorted().joined(separator: " or "))
      }
      result["attention"] = .string(layers.map(\.description).joined(separator: ", "))
    }
    return result
  }
}

extension AttentionVariant {
  /// The default of a parameter, after making sure that another value is allowed.
  /// - Throws: `ConfigurationError` when it is not.
  static func standardValue(
    of parameter: String, instead value: ParameterValue
  ) throws(ConfigurationError) -> ParameterValue {
    _ = try Configuration(settings: [parameter: value])
    return Configuration().settings[parameter] ?? value
  }
}
