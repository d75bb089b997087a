# SPDX-License-Identifier: Apache-2.0
# What a new user runs. Everything else is CMake: see CMakePresets.json.
#   make demo    install what is missing, build the program, run the whole pipeline on data made on the spot (minutes)
#   make test    install what is missing, build, run all tests

BUILD = build/release

.PHONY: all demo test install clean

all: $(BUILD)/build.ninja
	cmake --build $(BUILD)

$(BUILD)/build.ninja: CMakeLists.txt CMakePresets.json
	tools/install-deps.sh build
	cmake --preset release

demo: $(BUILD)/build.ninja
	cmake --build $(BUILD) --target espalier_cli
	rm -rf $(BUILD)/demo
	$(BUILD)/espalier demo -o $(BUILD)/demo

test: all
	ctest --preset release

install: all
	cmake --install $(BUILD)

clean:
	rm -rf build
