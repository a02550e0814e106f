/** The data sets of the paper: their public homes, checksums and licences, and which file is which split. */

export type Split = 'train' | 'valid' | 'test'

export interface OfficialFile {
  readonly name: string
  readonly url: string
  /** Of the whole file; null where none is published: the first download records what it got. */
  readonly sha256: string | null
}

/** One form in which a data set is published. */
export interface Variant {
  readonly name: string
  readonly downloads: readonly OfficialFile[]
  /** File names for each split, the usual one first; `archive.zip!path` is a member of an archive. All may be gzipped. */
  readonly splits: Readonly<Partial<Record<Split, readonly string[]>>>
  /** Ids of the pairs that are taken from the training file for validation. */
  readonly heldOutIds?: readonly string[]
}

export interface DatasetRow {
  readonly kind: 'e2e' | 'webnlg' | 'dart' | 'glue'
  /** Where in a given directory the files may lie. */
  readonly folders: readonly string[]
  readonly variants: readonly [Variant, ...Variant[]]
  readonly licence: string
  readonly source: string
}

const lora = 'https://raw.githubusercontent.com/microsoft/LoRA/main/examples/NLG/data'
const e2eHome = 'https://raw.githubusercontent.com/tuetschek/e2e-dataset/master'
const dartHome = 'https://raw.githubusercontent.com/Yale-LILY/dart/master/data/v1.1.1'
const glueHome = 'https://dl.fbaipublicfiles.com/glue/data'
const sentEval = 'https://dl.fbaipublicfiles.com/senteval/senteval_data'

const file = (home: string, name: string, sha256: string | null): OfficialFile => ({
  name,
  url: `${home}/${name}`,
  sha256,
})

/** A GLUE archive has its files in a folder of its own name. */
const glueArchive = (name: string, sha256: string): Variant => ({
  name: 'glue',
  downloads: [file(glueHome, `${name}.zip`, sha256)],
  splits: {
    train: [`${name}.zip!${name}/train.tsv`, 'train.tsv', 'train.csv'],
    valid: [`${name}.zip!${name}/dev.tsv`, 'dev.tsv', 'dev.csv'],
    // The benchmark keeps the test labels; other copies have them.
    test: ['test.tsv', 'test.csv'],
  },
})

/** Checksums of E2E, DART and GLUE files: as the Hugging Face `datasets` library recorded them; of the rest: computed. */
export const catalogue = {
  e2e: {
    kind: 'e2e',
    folders: ['', 'e2e'],
    variants: [
      {
        // Tokenised, with the attributes spelled out: what LoRA and DyLoRA train and evaluate on.
        name: 'lora',
        downloads: [
          file(`${lora}/e2e`, 'train.txt', 'eae319082237310913d9f37f6a891d48fb3f821f29d86870d2cb4f92ddd72c5a'),
          file(`${lora}/e2e`, 'valid.txt', 'ba963113c8401d3d26216c0dc0a6dae1ea6ea927de3bf830e32c41f65401c80d'),
          file(`${lora}/e2e`, 'test.txt', '81b1bcd40c4f12845ec4eb61a77bf43765d112483cd9b2f91ef10bfc1b3d8f13'),
        ],
        splits: { train: ['train.txt'], valid: ['valid.txt'], test: ['test.txt'] },
      },
      {
        name: 'challenge',
        downloads: [
          file(e2eHome, 'trainset.csv', 'f27d48df45815288ab15619d47a79028c300fbb7f42e373668aba0b98c1d57c6'),
          file(e2eHome, 'devset.csv', 'fc26b78cdb849c80545f513b223d1e051138b43882eeb79e3eb153e689c864f9'),
          file(e2eHome, 'testset_w_refs.csv', 'edc8db685e39bb9824d5bd70c18b1c9b0412d14b527aa960e2d1c8251ee15ccd'),
        ],
        splits: { train: ['trainset.csv'], valid: ['devset.csv'], test: ['testset_w_refs.csv'] },
      },
    ],
    licence: 'CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/',
    source: 'Novikova, Dušek and Rieser 2017, The E2E Dataset (arXiv 1706.09254)',
  },
  webnlg: {
    kind: 'webnlg',
    folders: ['', 'webnlg', 'webnlg2017', 'webnlg_challenge_2017'],
    variants: [
      {
        name: '2017',
        downloads: [
          file(
            `${lora}/webnlg_challenge_2017`,
            'train.json',
            '180edb6011360608c8548d4551366a9d55f140cbf9bc9397fbf4d97f6a89c639',
          ),
          file(
            `${lora}/webnlg_challenge_2017`,
            'dev.json',
            '50f5a2c24d760bc84ba3e852707cd3b43b0cf2da035b425f87945a2440880488',
          ),
          file(
            `${lora}/webnlg_challenge_2017`,
            'test.json',
            '2574896b23b5959d1a0cd4bb501ffbeff1a11790a9996c4cb8efed289149ff4f',
          ),
        ],
        splits: {
          train: ['train.json', 'train.xml'],
          valid: ['dev.json', 'dev.xml'],
          test: ['test.json', 'test.xml', 'testdata_with_lex.xml'],
        },
      },
    ],
    licence: 'CC BY-NC-SA 4.0 (non-commercial), https://creativecommons.org/licenses/by-nc-sa/4.0/',
    source: 'Gardent, Shimorina, Narayan and Perez-Beltrachini 2017, The WebNLG Challenge',
  },
  dart: {
    kind: 'dart',
    folders: ['', 'dart'],
    variants: [
      {
        name: '1.1.1',
        downloads: [
          file(
            dartHome,
            'dart-v1.1.1-full-train.json',
            '0671b56f4b090ccf1c0187364d45c6f1214421d6f1081a21800596860f314e70',
          ),
          file(
            dartHome,
            'dart-v1.1.1-full-dev.json',
            '5038f3543b6d59b94ac4e3f69d15a0b01d8578913f862142e7c560200dd6e434',
          ),
          file(dartHome, 'dart-v1.1.1-full-test.xml', null),
        ],
        splits: {
          train: ['dart-v1.1.1-full-train.json', 'dart-v1.1.1-full-train.xml', 'train.json', 'train.xml'],
          valid: ['dart-v1.1.1-full-dev.json', 'dart-v1.1.1-full-dev.xml', 'dev.json', 'dev.xml'],
          test: ['dart-v1.1.1-full-test.xml', 'dart-v1.1.1-full-test.json', 'test.json', 'test.xml'],
        },
      },
    ],
    licence: 'MIT; parts derive from WebNLG (CC BY-NC-SA 4.0) and E2E (CC BY-SA 4.0)',
    source: 'Nan et al. 2021, DART: Open-Domain Structured Data Record to Text Generation (arXiv 2007.02871)',
  },
  sst2: {
    kind: 'glue',
    folders: ['', 'sst2', 'SST-2', 'glue/sst2', 'glue/SST-2'],
    variants: [glueArchive('SST-2', 'd67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa')],
    licence: 'no explicit licence; Stanford Sentiment Treebank, https://nlp.stanford.edu/sentiment/',
    source: 'Socher et al. 2013, Recursive Deep Models for Semantic Compositionality Over a Sentiment Treebank',
  },
  cola: {
    kind: 'glue',
    folders: ['', 'cola', 'CoLA', 'glue/cola', 'glue/CoLA'],
    variants: [glueArchive('CoLA', 'f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff')],
    licence: 'research use (fair use of published examples), see https://nyu-mll.github.io/CoLA/',
    source: 'Warstadt, Singh and Bowman 2018, Neural Network Acceptability Judgments (arXiv 1805.12471)',
  },
  mrpc: {
    kind: 'glue',
    folders: ['', 'mrpc', 'MRPC', 'glue/mrpc', 'glue/MRPC'],
    variants: [
      {
        name: 'glue',
        downloads: [
          file(
            sentEval,
            'msr_paraphrase_train.txt',
            '60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89',
          ),
          file(sentEval, 'msr_paraphrase_test.txt', 'a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784'),
          file(glueHome, 'mrpc_dev_ids.tsv', '971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7'),
        ],
        splits: {
          train: ['msr_paraphrase_train.txt', 'train.tsv'],
          valid: ['dev.tsv'],
          test: ['msr_paraphrase_test.txt', 'test.tsv'],
        },
        heldOutIds: ['mrpc_dev_ids.tsv', 'dev_ids.tsv'],
      },
    ],
    licence:
      'Microsoft Research licence (research use), https://www.microsoft.com/en-us/download/details.aspx?id=52398',
    source: 'Dolan and Brockett 2005, Automatically Constructing a Corpus of Sentential Paraphrases',
  },
  rte: {
    kind: 'glue',
    folders: ['', 'rte', 'RTE', 'glue/rte', 'glue/RTE'],
    variants: [glueArchive('RTE', '6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee')],
    licence: 'research use, see https://aclweb.org/aclwiki/Recognizing_Textual_Entailment',
    source: 'PASCAL Recognising Textual Entailment challenges 1, 2, 3 and 5',
  },
  stsb: {
    kind: 'glue',
    folders: ['', 'stsb', 'STS-B', 'glue/stsb', 'glue/STS-B'],
    variants: [glueArchive('STS-B', 'e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85')],
    licence: 'CC BY-SA 4.0 (scores); the texts have the licences of their sources',
    source: 'Cer et al. 2017, SemEval-2017 Task 1: Semantic Textual Similarity (arXiv 1708.00055)',
  },
} as const satisfies Record<string, DatasetRow>

export type DatasetName = keyof typeof catalogue
