/// What other programs and papers call a setting, and what it is called here: a hint for whoever types the other word.
enum Synonyms {
  /// Words that mean the same, those of this program among them. A word may stand in several.
  private static let groups: [[String]] = [
    ["window", "window_size", "sliding_window", "attention_window", "span", "radius", "left", "right"],
    ["block", "block_size", "chunk", "chunk_size", "chunk_length", "bucket_size", "segment"],
    [
      "global", "globals", "global_tokens", "global_blocks", "global_attention", "sinks", "num_global_blocks",
    ],
    ["random", "random_blocks", "num_random_blocks", "r"],
    ["hash", "num_hashes", "n_hashes", "rounds", "hashes"],
    ["num_buckets", "n_buckets", "buckets"],
    ["lr", "eta", "step_size", "learning_rate"],
    ["d_model", "n_embd", "hidden_size", "embedding_size", "embed_dim", "model_dim", "width"],
    ["d_ff", "ffn", "ffn_dim", "ff", "intermediate_size", "mlp", "hidden"],
    ["n_layer", "n_layers", "num_layers", "num_hidden_layers", "depth", "layers"],
    ["n_head", "n_heads", "num_heads", "num_attention_heads", "heads"],
    ["kv_heads", "n_kv_heads", "num_key_value_heads", "num_kv_heads", "groups", "key_heads"],
    ["head_size", "d_head", "d_k", "dim", "d", "head_dim"],
    ["d_v", "value_size", "value_dim"],
    [
      "seq_len", "sequence_length", "context", "context_length", "ctx", "max_len", "block_size", "length",
      "n",
    ],
    ["vocab", "vocab_size", "n_vocab", "vocabulary"],
    ["batch_size", "bs", "batch"],
    ["epochs", "iterations", "iters", "max_steps", "max_iters", "num_steps", "steps"],
    ["l2", "decay", "weight_decay"],
    ["grad_accum", "gradient_accumulation_steps", "accumulate", "accumulation"],
    ["clip", "grad_clip", "max_grad_norm", "clipping"],
    ["warmup_steps", "warm_up", "warmup"],
    ["activation_function", "act", "nonlinearity", "activation"],
    ["tie", "tie_weights", "tie_word_embeddings", "tied"],
    ["pos", "position_embedding", "positional_encoding", "rope", "positions", "position"],
    ["logit_cap", "attn_logit_softcapping", "cap", "softcap"],
    ["dilated", "stride", "rate", "dilation"],
    ["dtype", "type", "precision"],
    ["samples", "trials", "reps", "repetitions", "repeats"],
    ["num_threads", "workers", "cores", "threads"],
    ["random_state", "rng", "seeds", "seed"],
  ]

  /// The names that a word stands for; none where it is no other word for any of them.
  static func names(for text: String, among names: [String]) -> [String] {
    let word = plain(text)
    // Another spelling of a name is that name.
    if let same = names.first(where: { plain($0) == word }) { return [same] }
    var found: [String] = []
    for group in groups where group.contains(where: { plain($0) == word }) {
      let words = Set(group.map(plain))
      found += names.filter { words.contains(plain($0)) && plain($0) != word && !found.contains($0) }
    }
    return found
  }

  /// Letters and digits alone, small: however it is spelt.
  private static func plain(_ text: String) -> String {
    String(text.lowercased().filter { $0.isLetter || $0.isNumber })
  }
}
