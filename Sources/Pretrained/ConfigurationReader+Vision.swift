import ArrayFiles
import Basics
import Layers
import Models
import Vision

extension ConfigurationReader {
  /// A model over images or videos.
  /// - Throws: `SafetensorsError` that names the entry that is missing, wrong or not supported.
  func vision(_ family: HuggingFaceConfiguration.Family) throws(SafetensorsError) -> ModelConfiguration {
    var model = ModelConfiguration()
    (model.kind, model.pooling, model.position, model.tied) = (.vit, .first, .learned, false)
    if family == .timm {
      try readTimm(into: &model)
    } else {
      guard try flag("qkv_bias", default: true) else {
        throw fail("qkv_bias", self["qkv_bias"], "true")
      }
      model.width = try integer("hidden_size", as: "width", default: 768)
      model.layers = try integer("num_hidden_layers", as: "layers", default: 12)
      model.heads = try integer("num_attention_heads", as: "heads", default: 12)
      model.hidden = try integer("intermediate_size", as: "hidden", default: 3072)
      model.feedForward = try activation("hidden_act", default: "gelu")
      model.epsilon = try real("layer_norm_eps", default: family == .vit ? 1e-12 : 1e-6)
      model.features = try integer("num_channels", as: "features", default: 3)
      model.images.patch = try integer("patch_size", as: "patch", default: 16)
      model.images.width = try integer("image_size", as: "image_width", default: 224)
      model.classes = try classes()
    }
    if family == .timesformer {
      let type = self["attention_type"].stringValue ?? "divided_space_time"
      guard type == "divided_space_time" || type == "joint_space_time" else {
        throw fail("attention_type", self["attention_type"], "divided_space_time or joint_space_time")
      }
      model.images.video = type == "divided_space_time" ? .divided : .joint
      model.images.frames = try integer("num_frames", as: "frames", default: 8)
    }
    model.images.height = model.images.frames * model.images.width
    model.maximumLength = model.images.grid.count + 1
    return model
  }

  private func classes() throws(SafetensorsError) -> Int {
    let names = self["id2label"].members.count
    return names > 0 ? names : try integer("num_labels", in: 1...100_000, default: 2)
  }

  /// What timm says: sizes by the name of the architecture, and arguments that change them.
  private func readTimm(into model: inout ModelConfiguration) throws(SafetensorsError) {
    let arguments = ConfigurationReader(entries: self["model_args"], path: path, family: family)
    let known = [
      "img_size", "patch_size", "in_chans", "num_classes", "embed_dim", "depth", "num_heads", "global_pool",
    ]
    for member in arguments.root.members where !known.contains(member.key) {
      throw SafetensorsError(
        path: path,
        problem: "model_args.\(member.key) is not supported; it takes \(known.joined(separator: ", "))")
    }
    let name = self["architecture"].stringValue ?? ""
    let words = name.split(separator: "_").map(String.init)
    let sizes = [
      "tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16),
      "huge": (1280, 32, 16),
    ]
    guard words.count == 4, let size = sizes[words[1]], words[2].hasPrefix("patch"),
      let patch = Int(words[2].dropFirst(5)), let side = Int(words[3])
    else {
      throw fail("architecture", self["architecture"], "vit_tiny_patch16_224 and its like")
    }
    for pooled in [self["global_pool"], arguments["global_pool"]] {
      guard pooled == .null || pooled == .string("token") else { throw fail("global_pool", pooled, "token") }
    }
    model.width = try arguments.integer("embed_dim", as: "width", default: size.0)
    model.layers = try arguments.integer("depth", as: "layers", default: size.1)
    model.heads = try arguments.integer("num_heads", as: "heads", default: size.2)
    model.images.patch = try arguments.integer("patch_size", as: "patch", default: patch)
    model.images.width = try arguments.integer("img_size", as: "image_width", default: side)
    model.features = try arguments.integer("in_chans", as: "features", default: 3)
    let classes = try integer("num_classes", as: "classes", default: 1000)
    model.classes = try arguments.integer("num_classes", as: "classes", default: classes)
    model.epsilon = 1e-6
    model.feedForward = .gelu
  }
}
