import Models

extension HuggingFaceConfiguration {
  /// Where each parameter of a model over images comes from, by our name.
  var visionSources: [String: HuggingFaceSource] {
    var result: [String: HuggingFaceSource] = [:]
    func add(_ ours: String, _ theirs: String, _ part: HuggingFaceSource.Part = .whole) {
      for kind in ["weight", "bias"] {
        result["\(ours).\(kind)"] = HuggingFaceSource(name: "\(theirs).\(kind)", part: part)
      }
    }
    func table(_ ours: String, _ theirs: String, _ part: HuggingFaceSource.Part = .first) {
      result[ours] = HuggingFaceSource(name: theirs, part: part)
    }
    func thirds(_ ours: String, _ theirs: String) {
      for (third, name) in ["query", "key", "value"].enumerated() {
        add("\(ours).\(name)", theirs, .linearThird(third))
      }
    }
    let isTimm = family == .timm, side = model.images.patch
    let patches = isTimm ? "patch_embed.proj" : "embeddings.patch_embeddings.projection"
    table("encoder.patches.weight", patches + ".weight", .patches(side))
    table("encoder.patches.bias", patches + ".bias", .whole)
    table("encoder.class", isTimm ? "cls_token" : "embeddings.cls_token")
    table("encoder.positions.weight", isTimm ? "pos_embed" : "embeddings.position_embeddings")
    if model.images.frames > 1 { table("encoder.times.weight", "embeddings.time_embeddings") }
    add("encoder.norm", isTimm ? "norm" : "layernorm")
    add("classifier", isTimm ? "head" : "classifier")
    for layer in 0..<model.layers {
      let ours = "encoder.layers.\(layer)"
      if isTimm {
        let theirs = "blocks.\(layer)"
        thirds("\(ours).attention", "\(theirs).attn.qkv")
        add("\(ours).attention.output", "\(theirs).attn.proj")
        add("\(ours).attention.norm", "\(theirs).norm1")
        add("\(ours).feedForward.inner", "\(theirs).mlp.fc1")
        add("\(ours).feedForward.outer", "\(theirs).mlp.fc2")
        add("\(ours).feedForward.norm", "\(theirs).norm2")
        continue
      }
      let theirs = "encoder.layer.\(layer)"
      if family == .timesformer {
        thirds("\(ours).attention", "\(theirs).attention.attention.qkv")
      } else {
        for name in ["query", "key", "value"] {
          add("\(ours).attention.\(name)", "\(theirs).attention.attention.\(name)")
        }
      }
      add("\(ours).attention.output", "\(theirs).attention.output.dense")
      add("\(ours).attention.norm", "\(theirs).layernorm_before")
      add("\(ours).feedForward.inner", "\(theirs).intermediate.dense")
      add("\(ours).feedForward.outer", "\(theirs).output.dense")
      add("\(ours).feedForward.norm", "\(theirs).layernorm_after")
      guard model.images.video == .divided else { continue }
      thirds("\(ours).time", "\(theirs).temporal_attention.attention.qkv")
      add("\(ours).time.output", "\(theirs).temporal_attention.output.dense")
      add("\(ours).time.norm", "\(theirs).temporal_layernorm")
      add("\(ours).time.dense", "\(theirs).temporal_dense")
    }
    return result
  }
}
