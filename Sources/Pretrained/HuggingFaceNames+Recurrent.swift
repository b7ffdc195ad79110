import Layers
import Models
import Settings
import Tensors

extension LayerAttention {
  /// Whether it is one of the recurrences of transformers' families.
  var isRecurrence: Bool { ["gated-delta", "kda", "mamba2"].contains(id) }
}

/// Recurrent layers of transformers' families.
extension DecoderSources {
  private var own: LayerConfiguration { model.layer.ofRecurrences }
  private var groups: Int { model.recurrentGroups > 0 ? model.recurrentGroups : own.heads }

  mutating func addRecurrence(_ ours: String, _ theirs: String) {
    if family == .kimiLinear {
      addChannels(ours, theirs + ".self_attn")
    } else {
      addGatedDelta(ours, theirs + ".linear_attn")
    }
  }

  private mutating func one(_ ours: String, _ theirs: String, _ part: HuggingFaceSource.Part = .whole) {
    all[ours] = HuggingFaceSource(name: theirs, part: part)
  }

  /// Mamba 2: z | x | B | C | steps in one matrix, x | B | C through the convolution.
  mutating func addMamba(_ ours: String, _ theirs: String) {
    let heads = own.heads, inner = heads * own.valueDim, keys = groups * own.headDim
    let whole = 2 * inner + 2 * keys + heads
    var first = 0
    for (name, count) in [("gate", inner), ("value", inner), ("key", keys), ("query", keys), ("step", heads)]
    {
      let range = first..<first + count
      for (kind, extents) in [("weight", [model.width]), ("bias", [])] {
        add(
          "\(ours).\(name)", "\(theirs).in_proj", kinds: [kind],
          .made(from: [whole] + extents) { $0.narrowed(axis: 0, to: range) })
      }
      first += count
    }
    // Theirs has x before B before C, ours C (q), B (k), x (v).
    let order = [inner + keys..<inner + 2 * keys, inner..<inner + keys, 0..<inner]
    let taps = model.shortConvolution, columns = inner + 2 * keys
    func ordered(_ x: Tensor) throws -> Tensor {
      let width = x.count / columns, flat = x.reshaped([columns, width])
      var result = try Tensor(zeros: [columns, width]), place = 0
      for range in order {
        result.replace(from: place * width, with: flat.narrowed(axis: 0, to: range))
        place += range.count
      }
      return result
    }
    one(
      "\(ours).convolution.weight", "\(theirs).conv1d.weight",
      .made(from: [columns, 1, taps]) { try ordered($0).transposed(0, 1) })
    one(
      "\(ours).convolution.bias", "\(theirs).conv1d.bias",
      .made(from: [columns]) { try ordered($0).reshaped([columns]) })
    one("\(ours).decay_rate", "\(theirs).A_log")
    one("\(ours).step_bias", "\(theirs).dt_bias")
    one("\(ours).skip_factor", "\(theirs).D")
    one("\(ours).gateNorm.weight", "\(theirs).norm.weight")
    add("\(ours).output", "\(theirs).out_proj")
  }

  /// Qwen3-Next: of every group of heads the rows of q, k, its heads' v and their z in one matrix, and their β and steps in another.
  private mutating func addGatedDelta(_ ours: String, _ theirs: String) {
    let groups = groups, each = own.heads / groups, width = model.width
    let key = own.headDim, value = each * own.valueDim, all = 2 * key + 2 * value
    for (name, code, first, count, whole) in [
      ("query", "in_proj_qkvz", 0, key, all), ("key", "in_proj_qkvz", key, key, all),
      ("value", "in_proj_qkvz", 2 * key, value, all), ("gate", "in_proj_qkvz", 2 * key + value, value, all),
      ("writing", "in_proj_ba", 0, each, 2 * each), ("step", "in_proj_ba", each, each, 2 * each),
    ] {
      one(
        "\(ours).\(name).weight", "\(theirs).\(code).weight",
        .made(from: [groups * whole, width]) { stored in
          stored.reshaped([groups, whole, width]).narrowed(axis: 1, to: first..<first + count).contiguous()
            .reshaped([groups * count, width])
        })
    }
    let columns = 2 * groups * key + groups * value, taps = model.shortConvolution
    one(
      "\(ours).convolution.weight", "\(theirs).conv1d.weight",
      .made(from: [columns, 1, taps]) { $0.reshaped([columns, taps]).transposed(0, 1) })
    one("\(ours).decay_rate", "\(theirs).A_log")
    one("\(ours).step_bias", "\(theirs).dt_bias")
    one("\(ours).gateNorm.weight", "\(theirs).norm.weight")
    add("\(ours).output", "\(theirs).out_proj", kinds: ["weight"])
  }

  /// Kimi Linear: three convolutions, and maps of the gates that are products of two.
  private mutating func addChannels(_ ours: String, _ theirs: String) {
    let heads = own.heads, dim = own.headDim, columns = heads * dim, taps = model.shortConvolution
    for (name, code) in [("query", "q"), ("key", "k"), ("value", "v"), ("output", "o")] {
      add("\(ours).\(name)", "\(theirs).\(code)_proj", kinds: ["weight"])
    }
    add("\(ours).writing", "\(theirs).b_proj", kinds: ["weight"])
    for (name, code) in [("step", "f"), ("gate", "g")] {
      one(
        "\(ours).\(name).weight", "\(theirs).\(code)_b_proj.weight",
        .combined(from: [columns, dim], [("\(theirs).\(code)_a_proj.weight", [dim, model.width])]) { parts in
          try ExecutionContext.recycling(threads: 1).matmul(parts[0], .plain, parts[1], .plain)
        })
    }
    one(
      "\(ours).convolution.weight", "\(theirs).q_conv1d.weight",
      .combined(
        from: [columns, 1, taps],
        ["k", "v"].map { ("\(theirs).\($0)_conv1d.weight", [columns, 1, taps]) }
      ) { parts in
        var result = try Tensor(zeros: [3 * columns, taps])
        for (place, part) in parts.enumerated() { result.replace(from: place * part.count, with: part) }
        return result.transposed(0, 1)
      })
    one("\(ours).decay_rate", "\(theirs).A_log", .made(from: [1, 1, heads, 1]) { $0.reshaped([heads]) })
    one("\(ours).step_bias", "\(theirs).dt_bias", .made(from: [columns]) { $0.reshaped([heads, dim]) })
    one("\(ours).gateNorm.weight", "\(theirs).o_norm.weight")
  }
}
