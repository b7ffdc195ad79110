import AttentionCore
import Settings
import Tensors

/// How images and videos become rows of a Transformer. Part of a model's configuration, which declares the settings.
public struct PatchConfiguration: Hashable, Sendable {
  /// How the patches of a video's frames see each other.
  public enum Video: String, CaseIterable, Hashable, Sendable {
    /// All patches of all frames are one sequence.
    case joint
    /// Each patch sees those at its place in other frames, then those of its own frame (TimeSformer).
    case divided
  }

  /// Pixels along a side of a patch.
  public var patch = 4
  /// Pixels of a column of the grid (all frames of a video, below each other).
  public var height = 0
  /// Pixels of a row.
  public var width = 0
  /// Frames of a video.
  public var frames = 1
  /// How they see each other.
  public var video = Video.joint

  /// The defaults.
  public init() {}

  /// The patches of all frames, as places of a grid.
  public var grid: Grid { Grid(height: max(1, height / patch), width: max(1, width / patch)) }
  /// Patches of a frame.
  public var patchesPerFrame: Int { grid.count / max(1, frames) }

  /// Whether patches cover the images.
  /// - Throws: `ConfigurationError`.
  public func validate() throws(ConfigurationError) {
    func require(_ holds: Bool, _ field: String, _ value: Int, _ allowed: String) throws(ConfigurationError) {
      if !holds { throw ConfigurationError(field: field, value: "\(value)", allowed: allowed) }
    }
    try require(
      height >= 1, "image_height", height, "at least 1 with kind vit, which reads images of one size")
    try require(width >= 1, "image_width", width, "at least 1 with kind vit, which reads images of one size")
    try require(height % frames == 0, "frames", frames, "a divisor of the height \(height) of all frames")
    let frame = height / frames
    try require(
      frame % patch == 0 && width % patch == 0, "patch", patch,
      "a divisor of the sides of an image, \(frame) and \(width)")
    try require(
      video == .joint || frames > 1, "frames", frames, "at least 2 with video divided")
  }

  /// Whether attentions that take a sequence for a grid take it for that of the patches.
  /// - Parameters:
  ///   - attentions: those of the layers.
  ///   - catalog: the variants.
  ///   - hasClassToken: whether a row stands before the patches.
  /// - Throws: `ConfigurationError`.
  public func check(
    _ attentions: [LayerAttention], in catalog: Catalog, hasClassToken: Bool
  ) throws(ConfigurationError) {
    let rows = GridRows(width: grid.width, leading: hasClassToken ? 1 : 0)
    for attention in attentions {
      let found = try catalog.type(of: attention.id).gridRows(settings: attention.settings)
      guard let found, found != rows else { continue }
      throw ConfigurationError(
        field: "attention", value: "\(attention)",
        allowed:
          "width=\(rows.width) and leading=\(rows.leading) here: an image has \(rows.width) patches in a row, "
          + (hasClassToken ? "behind the class token" : "and no class token before them"))
    }
  }
}
