extension PatchConfiguration {
  /// Transformers over images and videos.
  public static let cards: [LayerCard] = [
    LayerCard(
      id: "vit", title: "Transformer over patches",
      paper:
        "Dosovitskiy et al., 2021, An image is worth 16×16 words: Transformers for image recognition at scale",
      idea: "An image is cut into patches, each of which becomes a row of a sequence.",
      equation: "x_k = W p_k + b + P_k", setting: "kind: vit",
      parameters: ["patch", "pooling", "position", "image_height", "image_width", "attention"]),
    LayerCard(
      id: "divided-attention", title: "Divided space-time attention",
      paper: "Bertasius et al., 2021, Is space-time attention all you need for video understanding?",
      idea: "A patch of a video sees its own place in all frames, then all places of its own frame.",
      equation: "y(t, k) = x(t, k) + D A_time(x(·, k))_t, z(t, k) = y(t, k) + A_space(y(t, ·))_k",
      setting: "kind: vit, video: divided", parameters: ["video", "frames", "patch", "pooling", "attention"]),
  ]
}
