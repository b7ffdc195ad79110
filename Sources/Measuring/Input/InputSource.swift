import Basics
import Records

/// Where q, k and v come from.
public enum InputSource: Hashable, Sendable, CustomStringConvertible {
  /// Independent N(0, 1) draws.
  case gaussian
  /// The bytes of a text file or folder; `nil`: the project's own sources.
  case text(path: String?)
  /// Arrays `[batch, heads, n, d]` of a user, of which a shape takes the first sequences, heads and rows.
  case arrays(query: String, key: String, value: String)
  /// What a layer of a trained model makes of tokens.
  case checkpoint(CheckpointSource)

  /// As the CSV and `attnlab measure --input` write it.
  public var description: String {
    switch self {
    case .gaussian: "gaussian"
    case .text(nil): "text"
    case .text(let path?): "text:" + path
    case .arrays(let query, let key, let value): "npy:\(query),\(key),\(value)"
    case .checkpoint(let source): "checkpoint:\(source)"
    }
  }

  /// What is allowed, in words.
  public static let allowed =
    "gaussian, text, text:PATH with a file or folder, npy:Q,K,V, or checkpoint:DIR,layer=L,text=PATH (or tokens=IDS.npy)"

  /// Reads the form of `description`.
  public init?(_ text: String) {
    switch text {
    case "gaussian": self = .gaussian
    case "text", "text:default": self = .text(path: nil)
    default:
      let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { return nil }
      switch parts[0] {
      case "text": self = .text(path: parts[1])
      case "npy":
        let files = parts[1].split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard files.count == 3, !files.contains("") else { return nil }
        self = .arrays(query: files[0], key: files[1], value: files[2])
      case "checkpoint":
        guard let source = CheckpointSource(parts[1]) else { return nil }
        self = .checkpoint(source)
      default: return nil
      }
    }
  }

  /// The files and folders that it names.
  public var paths: [String] {
    switch self {
    case .gaussian, .text(nil): []
    case .text(let path?): [path]
    case .arrays(let query, let key, let value): [query, key, value]
    case .checkpoint(let source): [source.model] + [source.path].compactMap(\.self)
    }
  }
}

extension InputSource {
  /// What is to be said where the project's own sources are not: nothing of an input that does not read them.
  package var noteWithoutSources: String? {
    guard self == .text(path: nil) else { return nil }
    return
      "note: the project's own sources are not here; a short built-in text, read over and over, stands in for them "
      + "(input.text or --input text:PATH names another)"
  }
}

/// A layer of a trained model, and what the model reads.
public struct CheckpointSource: Hashable, Sendable, CustomStringConvertible {
  /// What the model reads.
  public enum Reading: String, Hashable, Sendable {
    /// The bytes of a text; without a path those of the project's own sources.
    case text
    /// Token ids of a `.npy` file.
    case tokens
  }

  /// The model: a file or a folder.
  public var model: String
  /// The layer, from 0.
  public var layer: Int
  /// What it reads.
  public var reading = Reading.text
  /// The file that it reads; `nil`: the project's own sources.
  public var path: String?

  /// Names a layer.
  init(model: String, layer: Int, reading: Reading = .text, path: String? = nil) {
    (self.model, self.layer, self.reading, self.path) = (model, layer, reading, path)
  }

  /// Reads `DIR,layer=L,text=PATH`.
  init?(_ text: String) {
    guard let middle = text.firstRange(of: ",layer=") else { return nil }
    let model = String(text.prefix(upTo: middle.lowerBound))
    let rest = text.suffix(from: middle.upperBound).split(separator: ",", maxSplits: 1).map(String.init)
    guard !model.isEmpty, let layer = rest.first.flatMap({ Int($0) }), layer >= 0 else { return nil }
    self.init(model: model, layer: layer)
    guard rest.count == 2 else { return }
    let pair = rest[1].split(separator: "=", maxSplits: 1).map(String.init)
    guard pair.count == 2, let reading = Reading(rawValue: pair[0]) else { return nil }
    (self.reading, path) = (reading, pair[1])
  }

  /// `DIR,layer=L,text=PATH`.
  public var description: String {
    "\(model),layer=\(layer)" + (path.map { ",\(reading.rawValue)=\($0)" } ?? "")
  }
}

extension InputSource {
  /// Reads `gaussian`, `text`, or a mapping; a path in a preset is relative to the preset's folder.
  /// - Throws: `UsageError` with place and what is allowed.
  init(_ node: PresetNode, folder: String) throws(UsageError) {
    switch node.content {
    case .scalar("gaussian", _): self = .gaussian
    case .scalar("text", _): self = .text(path: nil)
    case .mapping:
      var reader = try FieldReader(node)
      func path(_ node: PresetNode?) throws(UsageError) -> String? {
        guard let node else { return nil }
        guard let path = node.text, !path.isEmpty else { throw Self.refusal(node) }
        let isFromFile = !reader.place.hasPrefix("--set") && !node.place.hasPrefix("--set")
        let isWhole = path.hasPrefix("/") || !isFromFile || folder == "."
        return path == "default" ? nil : isWhole ? path : folder + "/" + path
      }
      if let arrays = reader.node("npy") {
        var names = try FieldReader(arrays)
        let files = [try path(names.node("q")), try path(names.node("k")), try path(names.node("v"))]
        try names.finish()
        let known = files.compactMap(\.self)
        guard known.count == 3 else { throw Self.refusal(node) }
        self = .arrays(query: known[0], key: known[1], value: known[2])
      } else if let model = try path(reader.node("checkpoint")) {
        let layer = try reader.value("layer", .integer(0...1000), default: 0)
        let (text, tokens) = (try path(reader.node("text")), try path(reader.node("tokens")))
        guard text == nil || tokens == nil else {
          throw node.error("input: text and tokens: the model reads one of both")
        }
        self = .checkpoint(
          CheckpointSource(
            model: model, layer: layer, reading: tokens == nil ? .text : .tokens, path: text ?? tokens))
      } else if let text = reader.node("text") {
        self = .text(path: try path(text))
      } else {
        try reader.finish()
        throw Self.refusal(node)
      }
      try reader.finish()
    default: throw Self.refusal(node)
    }
  }

  private static func refusal(_ node: PresetNode) -> UsageError {
    node.error(
      "input: \(node.summary) is not allowed; it takes gaussian, {text: PATH} with a file or folder (or default: the "
        + "project's own sources), {npy: {q: Q, k: K, v: V}}, or {checkpoint: DIR, layer: L, text: PATH}")
  }
}
