extension ConvolutionalConfiguration {
  /// The network and the attention that it may have.
  public static let cards: [LayerCard] = [
    LayerCard(
      id: "cnn", title: "Residual network of convolutions",
      paper: "He et al., 2016, Deep residual learning for image recognition",
      idea: "Every unit adds two convolutions with norms to what it read.",
      equation: "y = max(x + N(K₂ ∗ max(N(K₁ ∗ x), 0)), 0)", setting: "kind: cnn",
      parameters: [
        "channels", "stages", "blocks", "groups", "stem_window", "stem_stride", "stem_pooling",
        "channel_attention",
      ]),
    LayerCard(
      id: "se", title: "Squeeze and excitation",
      paper: "Hu et al., 2018, Squeeze-and-excitation networks",
      idea: "Every channel is multiplied by a number that the means of all channels give.",
      equation: "y_pc = σ(W₂ max(W₁ z, 0))_c x_pc, z_c = mean_p x_pc",
      setting: "kind: cnn, channel_attention: se", parameters: ["channel_attention", "squeeze", "gate_bias"]),
    LayerCard(
      id: "cbam", title: "Convolutional block attention",
      paper: "Woo et al., 2018, CBAM: Convolutional block attention module",
      idea:
        "Channels are weighed by their means and largest elements, then places by those over the channels.",
      equation: "x′_pc = σ(g(mean_p x) + g(max_p x))_c x_pc, y_pc = σ(N(K ∗ [mean_c x′, max_c x′]))_p x′_pc",
      setting: "kind: cnn, channel_attention: cbam",
      parameters: ["channel_attention", "squeeze", "gate_bias", "cbam_order", "cbam_norm", "cbam_window"]),
    LayerCard(
      id: "residual-attention", title: "Residual attention",
      paper: "Wang et al., 2017, Residual attention network for image classification",
      idea:
        "A mask made on coarser grids weighs every channel of every place, and what it would take away stays.",
      equation: "y = (1 + M(x))∘T(x)", setting: "kind: cnn, channel_attention: residual",
      parameters: ["channel_attention", "mask_depth"]),
    LayerCard(
      id: "dual-attention", title: "Dual attention",
      paper: "Fu et al., 2019, Dual attention network for scene segmentation",
      idea: "Every place attends to all places, and every channel to all channels; both are added.",
      equation:
        "y_p = x_p + γ Σ_r softmax_r(q_p·k_r) v_r; y_pc = x_pc + γ′ Σ_d softmax_d(−Σ_p x_pc x_pd) x_pd",
      setting: "kind: cnn, channel_attention: dual", parameters: ["channel_attention"]),
  ]
}
