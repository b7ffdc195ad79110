import Basics

/// What becomes of the keys of a `config.json`: each is used (a reader asked for it), harmless (it changes no output of an
/// evaluation), fixed (it changes the model, and one value alone is understood), or refused.
///
/// No key passes in silence: one that stands in none of the lists is refused by name, for nobody knows what it changes.
enum ConfigurationKeys {
  /// Keys that change no logits of an evaluation: names, ids of special tokens, how weights were drawn, dropout, what a program
  /// returns or keeps, settings of generation and of other heads.
  static let harmless: Set<String> = [
    // Names, versions, precisions.
    "_name_or_path", "architectures", "auto_map", "dtype", "model_type", "torch_dtype",
    "transformers_version",
    "tokenizer_class", "_attn_implementation", "_attn_implementation_autoset", "attn_implementation",
    "torchscript",
    "use_bfloat16", "_commit_hash", "reorder_and_upcast_attn", "experts_implementation",
    "_experts_implementation",
    "tf_legacy_loss", "finetuning_task", "task_specific_params", "problem_type", "prefix",
    // Special tokens.
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "mask_token_id",
    "unk_token_id",
    "decoder_start_token_id",
    // How weights are drawn and trained.
    "initializer_range", "initializer_factor", "initializer_cutoff_factor", "gradient_checkpointing",
    "attention_dropout", "attention_probs_dropout_prob", "attn_pdrop", "classifier_dropout", "drop_path_rate",
    "dropout",
    "embd_pdrop", "hidden_dropout", "hidden_dropout_prob", "layerdrop", "qa_dropout", "resid_pdrop",
    "seq_classif_dropout", "output_router_logits", "router_aux_loss_coef", "aux_loss_alpha", "seq_aux",
    "ep_size",
    "router_jitter_noise", "num_nextn_predict_layers", "num_mtp_layers", "time_step_min", "time_step_max",
    "time_step_floor", "residual_in_fp32", "time_step_rank", "rescale_prenorm_residual",
    "sinusoidal_pos_embds",
    // What is kept and returned, and in which parts it is computed.
    "use_cache", "cache_implementation", "output_attentions", "output_hidden_states", "output_scores",
    "return_dict",
    "return_dict_in_generate", "chunk_size_feed_forward", "chunk_size", "pretraining_tp", "use_mambapy",
    // Generation.
    "bad_words_ids", "begin_suppress_tokens", "diversity_penalty", "do_sample", "early_stopping",
    "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "forced_bos_token_id",
    "forced_eos_token_id",
    "length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams",
    "num_return_sequences", "remove_invalid_values", "repetition_penalty", "suppress_tokens", "temperature",
    "tie_encoder_decoder", "top_k", "top_p", "typical_p",
    // Other heads.
    "id2label", "label2id", "num_labels", "summary_activation", "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type", "summary_use_proj", "directionality", "pooler_fc_size", "pooler_num_attention_heads",
    "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type", "pooler_act", "pooler_output_size",
    "encoder_stride",
    // Of timm.
    "num_features", "pretrained_cfg",
    // What another key says.
    "_num_labels", "is_llama_config", "output_past", "tie_weights_", "transformers.js_config", "n_ctx",
    "is_decoder", "gradient_checkpointing_kwargs",
  ]

  /// Keys that change a model, with the values under which it is the model that is read here; `null` and absence count as well.
  static let fixed: [(key: String, values: [JSONValue])] = [
    ("add_cross_attention", [.bool(false)]), ("rope_interleaved", [.bool(false)]),
    ("use_sliding_window", [.bool(false)]), ("use_qk_norm", [.bool(false)]),
    ("is_encoder_decoder", [.bool(false)]),
    ("cross_attention_hidden_size", []), ("pruned_heads", [.object([])]), ("quantization_config", []),
    ("compression_config", []), ("use_bidirectional_attention", [.bool(false)]),
    ("use_mrope", [.bool(false)]),
    ("position_embedding_type", [.string("absolute")]), ("embedding_multiplier", [.int(1), .double(1)]),
    ("residual_multiplier", [.int(1), .double(1)]), ("logits_scaling", [.int(1), .double(1)]),
  ]

  /// Refuses the keys that nobody used and that are not harmless.
  /// - Throws: `SafetensorsError`: one line with the key, its value and what is allowed.
  static func check(_ reader: ConfigurationReader) throws(ConfigurationReader.Failure) {
    for member in reader.root.members where member.value != .null && !reader.used.contains(member.key) {
      if harmless.contains(member.key) { continue }
      if let fixed = fixed.first(where: { $0.key == member.key }) {
        guard fixed.values.contains(member.value) else {
          throw reader.refused(
            member.key, member.value, fixed.values.first.map(\.compact) ?? "null")
        }
        continue
      }
      throw reader.failure(
        "\(shown(member.key)) \(shown(member.value.compact, limit: 60)) is not known for \(reader.family), so that what it "
          + "changes would be left out; take the entry out if it changes nothing")
    }
  }
}
