import ArrayFiles
import Attention
import AttentionCore
import Basics
import Foundation
import Measuring
import Models
import Presets
import Pretrained
import Records
import Tensors
import Trainings

/// Arrays, checkpoints, presets and tables.
extension FuzzReader {
  /// The `.npy` reader: an array no larger than the file, which is written as it was read.
  static let npy = FuzzReader(
    "npy",
    [
      NpyArray([Float](repeating: 1, count: 6), shape: [2, 3]).fileBytes,
      NpyArray([1.5, -2, 3], shape: [3]).fileBytes,
      NpyArray([1, 2, 3, 4], shape: [4], as: .uint64).fileBytes,
      NpyArray([-1, 2], shape: [1, 2, 1], as: .int8).fileBytes,
      NpyArray([1, 0, 1], shape: [3], as: .bool).fileBytes,
      NpyArray([Float](repeating: 1, count: 2), shape: [2], as: .bfloat16).fileBytes,
      NpyArray([Float](repeating: 1, count: 1), shape: [], as: .float16).fileBytes,
      fortran(version: 1), fortran(version: 2), fortran(version: 3),
    ]
  ) { bytes in
    guard let array = try read({ try NpyArray(bytes: bytes, path: "a.npy") }) else { return }
    try expect(
      array.count * array.type.byteCount <= bytes.count, "\(array.count) elements of \(bytes.count) bytes")
    let written = array.fileBytes
    let again = try read { try NpyArray(bytes: written, path: "a.npy").fileBytes }
    try expect(again == written, "what is written is not read as it was")
  }

  /// Six numbers of two bytes, the later ones first, column by column.
  private static func fortran(version: UInt8) -> [UInt8] {
    var header = "{'descr': '>i2', 'fortran_order': True, 'shape': (3, 2), }"
    header += String(repeating: " ", count: 117 - header.count) + "\n"
    let length = UInt8(header.utf8.count)
    let size = version == 1 ? [length, 0] : [length, 0, 0, 0]
    return [0x93] + Array("NUMPY".utf8) + [version, 0] + size + Array(header.utf8)
      + [UInt8](repeating: 7, count: 12)
  }

  private static func checkpoint(_ header: String, data: Int) -> [UInt8] {
    let length = UInt64(header.utf8.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * UInt64($0))) } + Array(header.utf8)
      + (0..<data).map { UInt8($0 % 251) }
  }

  /// The safetensors reader: tensors no larger than the file, counted in a ledger.
  static let safetensors = FuzzReader(
    "safetensors",
    [
      checkpoint(#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#, data: 24),
      checkpoint(
        #"{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[4],"data_offsets":[0,8]},"#
          + #""c":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},"d":{"dtype":"BOOL","shape":[0],"data_offsets":[16,16]}}"#,
        data: 16),
      checkpoint(
        #"{"h.0.w":{"dtype":"F16","shape":[1,2,3],"data_offsets":[4,16]},"e":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}"#,
        data: 16),
    ]
  ) { bytes in
    let ledger = MemoryLedger()
    // Half of them keep a true length, so that the mutated text is parsed at all.
    var bytes = bytes
    if bytes.count > 8, bytes.count % 2 == 0, let end = bytes.lastIndex(of: UInt8(ascii: "}")), end >= 8 {
      let length = UInt64(end - 7)
      for place in 0..<8 { bytes[place] = UInt8(truncatingIfNeeded: length >> (8 * UInt64(place))) }
    }
    let data = Data(bytes)
    guard let file = try read({ try Safetensors(data: data, path: "m.safetensors", ledger: ledger) }) else {
      return
    }
    // A half is widened to four bytes.
    try expect(ledger.peakBytes <= 4 * bytes.count, "\(ledger.peakBytes) bytes of a file of \(bytes.count)")
    try expect(file.tensors.count + file.arrays.count <= bytes.count, "more tensors than bytes")
  }

  private static let kinds = ExperimentCatalog([MeasurementExperiment.self, TrainingExperiment.self])

  /// Presets: cells and trainings, or one line.
  static let preset = FuzzReader(
    text: "preset",
    [
      "title: A\nn: [64, 128]\ncausal: [true, false]\nvariants:\n  - full\n  - sliding-window: {left: [3, 5], sinks: 1}\n",
      "n: 32\npass: [forward, backward]\nheads: 4\nkey_heads: 2\nvariants: {lsh: {buckets: 8}}\nthreads: all\nbudget: 10ms\n",
      "a: &a {b: [1, 2]}\nc: {<<: *a, d: 'x'}\nexperiments: [*a, {name: b, n: 8, variants: full}]\n",
      "n: 16\nvariants:\n  - custom: {expression: [\"i - j < 10 || j % 3 == 0\", 'abs(i - j) < 2 * (h + 1)']}\ninput: {text: a.txt}\n",
      "experiment: training\ntask: {id: induction, length: 16, vocabulary: 16}\nmodel: {width: 16, layers: 1, heads: 2}\n"
        + "training: {steps: 2, batch: 4}\npoints:\n  - model.attention: [full, \"sliding-window(left=4) x2, full\"]\n  - {}\n",
      "experiments:\n  - {name: a, n: 1e2, variants: [full, chunked: {chunk: 0x10}]}\n  - name: b\n    n: ~\n    variants: full\n"
        + "targets:\n  - {figure: speedup, at_least: 2}\n",
    ]
  ) { yaml in
    // A mutation may ask for billions of cells; what a preset may hold is bounded, what this test may take too.
    guard let preset = try read({ try Preset(yaml: yaml, file: "p.yaml", catalog: .standard, kinds: kinds) })
    else { return }
    _ = try read { (try preset.cells().count, preset.trainings.count) }
  }

  private static let row =
    "p,,custom,\"expression=min(i, j) < 3\",forward,1,1,1,16,16,64,64,true,2,avx512,gaussian,1,ok,,3,7.2e-05"

  /// Tables that others wrote, and rows of measurements.
  static let csv = FuzzReader(
    text: "csv",
    [
      "preset,experiment,variant,configuration,pass,batch,query_heads,key_heads,query_length,key_length,head_dim,value_dim,"
        + "causal,threads,isa,input,seed,status,reason,repeats,seconds_median\n\(row)\n\(row)\n",
      "\u{FEFF}N,\"Time (ms)\",,loss\r\n1,\"2,5\",x,3\r\n4,\"a \"\"b\"\"\",,1e-3\r\n",
      "a;b;c\n1,5;2,5;3\n4;5;6\n", "a\tb\n1\t2\n", "a,b\n1,2", "n,seconds\n64,0.1\n128,0.2\n\n256,NaN\n",
    ]
  ) { text in
    let bytes = Array(text.utf8)
    guard let table = try read({ try CSVTable(bytes: bytes, file: "a.csv") }) else { return }
    let cells = table.rows.reduce(table.header.count) { $0 + $1.count }
    try expect(
      cells <= 2 * (bytes.count + 2) * max(1, table.header.count), "\(cells) cells of \(bytes.count) bytes")
    _ = try read { try table.requireWhole() }
    _ = try read { try MeasurementRow.read(table) }
  }

  /// JSON: what is read is written and read as the same.
  static let json = FuzzReader(
    text: "json",
    [
      #"{"a": [1, -2.5e3, true, null, "x\u00e9\n\ud83d\ude00"], "b": {"c": {}}, "d": []}"#,
      #"{"variants": [{"id": "full", "parameters": [], "n": 9007199254740993}]}"#, "[0.1, 1e308, -0, 12]",
    ]
  ) { text in
    guard let value = try read({ try JSONValue(parsing: text) }) else { return }
    let compact = value.compact
    let again = try read { try JSONValue(parsing: compact) }
    try expect(again?.compact == compact, "\(shown(compact)) is not read as it was written")
  }

  /// The `config.json` of other programs' models.
  static let modelConfiguration = FuzzReader(
    "config",
    [
      #"{"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 100, "#
        + #""activation_function": "gelu_new", "layer_norm_epsilon": 1e-5}"#,
      #"{"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "#
        + #""max_position_embeddings": 64, "vocab_size": 100, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12}"#,
    ].map { Array($0.utf8) }
  ) { bytes in
    _ = try read { try HuggingFaceConfiguration(json: bytes, path: "config.json") }
  }
}
