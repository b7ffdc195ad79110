extension PretextConfiguration {
  /// What a Transformer over images learns without labels.
  public static let cards: [LayerCard] = [
    LayerCard(
      id: "masked-patches", title: "Masked patches",
      paper: "Xie et al., 2022, SimMIM; He et al., 2022, Masked autoencoders are scalable vision learners",
      idea: "Some patches are hidden, and their pixels are told from the others.",
      equation: "L = mean over hidden k of |p_k − (W h_k + b)|²/(numbers of p_k)",
      setting: "kind: vit, pretext: masked", parameters: ["pretext", "mask_share"]),
    LayerCard(
      id: "contrastive", title: "Contrastive views",
      paper:
        "van den Oord et al., 2018, Representation learning with contrastive predictive coding; Chen et al., 2020, SimCLR",
      idea: "Of two views of every image each is to find the other among all views of a batch.",
      equation: "L_i = log Σ_{j ≠ i} e^{s_ij} − s_{i,p(i)}, s_ij = z_i·z_j/(|z_i||z_j|τ)",
      setting: "kind: vit, pretext: contrastive",
      parameters: ["pretext", "temperature", "view_crop", "view_shift", "view_noise"]),
  ]
}
