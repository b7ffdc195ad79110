import AttentionCore
import Settings

extension ModelConfiguration {
  /// The last position of each layer whose row reads second projections; `nil`: the layer has none, because they are
  /// tied or its attention has no global rows.
  /// - Throws: `ConfigurationError`.
  func lastGlobalPositions(in catalog: Catalog) throws(ConfigurationError) -> [Int?] {
    let layers = try layerAttention()
    guard globalProjections == .separate else { return layers.map { _ in nil } }
    return try layers.map { layer throws(ConfigurationError) in
      try catalog.lastGlobalPosition(layer.id, settings: layer.settings)
    }
  }

  /// The same model with other attention in its layers; separate global projections become tied when no layer has
  /// global rows any more.
  /// - Throws: `ConfigurationError`.
  public func replacingAttention(_ attention: String, in catalog: Catalog) throws(ConfigurationError)
    -> ModelConfiguration
  {
    var changed = self
    changed.attention = attention
    if try changed.lastGlobalPositions(in: catalog).allSatisfy({ $0 == nil }) {
      changed.globalProjections = .tied
    }
    return changed
  }
}

extension AttentionVariant {
  /// `lastGlobalPosition` of the defaults: whether the variant takes second projections at all.
  static var lastGlobalPositionByDefault: Int? { Configuration().lastGlobalPosition }
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

  /// The last position whose row can read second projections under an id and settings.
  /// - Throws: `ConfigurationError`.
  func lastGlobalPosition(
    _ id: String, settings: [String: ParameterValue]
  ) throws(ConfigurationError) -> Int? {
    func open<V: AttentionVariant>(_ type: V.Type) throws(ConfigurationError) -> Int? {
      try V.Configuration(settings: settings).lastGlobalPosition
    }
    let type = try self.type(of: id)
    return try open(type)
  }

  /// `unseenKeys` under an id and settings, read once.
  /// - Throws: `ConfigurationError`.
  func unseenKeys(
    _ id: String, settings: [String: ParameterValue]
  ) throws(ConfigurationError) -> @Sendable (Int) -> Range<Int>? {
    func open<V: AttentionVariant>(
      _ type: V.Type
    ) throws(ConfigurationError) -> @Sendable (Int) -> Range<Int>? {
      let configuration = try V.Configuration(settings: settings)
      return { configuration.unseenKeys(of: $0) }
    }
    let type = try self.type(of: id)
    return try open(type)
  }

  /// Settings for a shape that may be shorter than the one that they were made for.
  /// - Throws: `ConfigurationError`.
  func fitted(
    _ id: String, settings: [String: ParameterValue], to shape: AttentionShape
  ) throws(ConfigurationError) -> [String: ParameterValue] {
    func open<V: AttentionVariant>(_ type: V.Type) throws(ConfigurationError) -> [String: ParameterValue] {
      try V.Configuration(settings: settings).fitted(to: shape).settings
    }
    let type = try self.type(of: id)
    return try open(type)
  }
}
