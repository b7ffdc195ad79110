import Attention
import AttentionCore
import AttentionLab

AttentionLab.main(catalog: .standard + [StridedAttention.self, KeyBiasAttention.self])
