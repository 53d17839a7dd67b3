"""What mangled names tell, beside what c++filt makes of them."""

from __future__ import annotations

import pytest

from pipfallback import mangled

STRING = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("_ZN3c104cuda29c10_cuda_check_implementationEiPKcS2_ib", "c10::cuda::c10_cuda_check_implementation"),
        ("_ZN3c104cuda9SetDeviceEa", "c10::cuda::SetDevice"),
        ("_ZNK3c106SymInt6sym_neERKS0_", "c10::SymInt::sym_ne"),
        (f"_ZN3c105ErrorC2ENS_14SourceLocationE{STRING}", "c10::Error::Error"),
        ("_ZN3c1017RegisterOperatorsD1Ev", "c10::RegisterOperators::~RegisterOperators"),
        ("_ZNK3c106SymIntneERKS0_", "c10::SymInt::operator!="),
        ("_ZTVN5torch8autograd4NodeE", "vtable for torch::autograd::Node"),
        ("_ZTIN3c105ErrorE", "typeinfo for c10::Error"),
        ("_ZGVN2at4_ops5zeros4nameE", "at::_ops::zeros::name"),
        ("_ZSt9terminatev", "std::terminate"),
        ("_ZNKSt9exception4whatEv", "std::exception::what"),
        ("_Z3foov", "foo"),
        ("_ZN6caffe28TypeMeta21_typeMetaDataInstanceIfEEv", "caffe2::TypeMeta::_typeMetaDataInstance"),
        ("_Znwm", "_Znwm"),
        ("cudaMalloc", "cudaMalloc"),
        ("_ZN99broken", "_ZN99broken"),
        ("", ""),
    ],
)
def test_a_symbol_is_named_as_a_person_may_know_it(symbol: str, name: str) -> None:
    assert mangled.readable(symbol).startswith(name) or mangled.readable(symbol) == name


@pytest.mark.parametrize(
    ("symbol", "uses", "torchs"),
    [
        ("_ZN3c104cuda9SetDeviceEa", True, True),
        ("_ZNK2at10TensorBase8data_ptrIdEEPT_v", True, True),
        ("_ZTVN5torch8autograd4NodeE", True, True),
        ("_ZN8pybind116detail11type_casterIN2at6TensorEvE4loadENS_6handleEb", True, False),
        ("_Z5twiceRKN2at6TensorE", True, False),
        ("aoti_torch_get_data_ptr", False, True),
        ("torch_call_dispatcher", False, True),
        ("_ZN4math5torchEv", False, False),
        ("_ZN3catE", False, False),
        ("_ZNSt6vectorIiSaIiEE9push_backEOi", False, False),
        ("cudaLaunchKernel", False, False),
    ],
)
def test_whose_a_symbol_is(symbol: str, uses: bool, torchs: bool) -> None:
    assert (mangled.uses_torch(symbol), mangled.is_torchs(symbol)) == (uses, torchs)


@pytest.mark.parametrize(
    ("symbol", "abi"),
    [
        (f"_ZN3c106detail14torchCheckFailEPKcS2_jRK{STRING}", True),
        ("_ZN3c106detail14torchCheckFailEPKcS2_jRKSs", False),
        ("_ZN3c105ErrorC1ENS_14SourceLocationESs", False),
        ("_ZN5torch3jit17parseSchemaOrNameERKSsb", False),
        (f"_ZN5torch3jit17parseSchemaOrNameERK{STRING}b", True),
        ("_ZN3c104cuda9SetDeviceEa", None),
        ("_ZN3c1014PassSslOptionsEi", None),
        (f"_ZN3c103odd{'E'}RKSsRK{STRING}", None),
    ],
)
def test_which_string_a_function_takes(symbol: str, abi: bool | None) -> None:
    assert mangled.cxx11_abi(symbol) is abi


@pytest.mark.parametrize(
    ("symbol", "pythons"),
    [
        ("PyModule_Create2", True),
        ("_PyObject_GC_New", True),
        ("Py_IncRef", True),
        ("_Py_NoneStruct", True),
        ("PyInit__C", True),
        ("PyTorchThing", False),
        ("_ZN2PyEv", False),
        ("pybind11_init", False),
    ],
)
def test_which_names_are_pythons(symbol: str, pythons: bool) -> None:
    assert mangled.is_pythons(symbol) is pythons
